//! The ELF note that tells, before any code of a shared object runs, that it is a plugin and for which ABI.
//!
//! Section `.note.millrace`, type `SHT_NOTE`, alignment 4, exactly one note: name `Millrace`, type
//! [`NOTE_TYPE`], descriptor [`NoteDescriptor`]. The SDK's export macro and the C header's
//! `MILLRACE_PLUGIN_NOTE` emit it.

/// The section that holds the note.
pub const NOTE_SECTION: &str = ".note.millrace";
/// The note's name, with its terminator.
pub const NOTE_NAME: [u8; 12] = *b"Millrace\0\0\0\0";
/// Bytes of the name that count: `Millrace` and one zero.
pub const NOTE_NAME_SIZE: u32 = 9;
/// The note's type: "consensus plugin".
pub const NOTE_TYPE: u32 = 1;
/// Bytes of a consensus id at most.
pub const IDENTITY_MAX: usize = 56;

/// What the note says.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoteDescriptor {
    /// ABI major version that the plugin was built for.
    pub abi_major: u16,
    /// ABI minor version that the plugin was built for.
    pub abi_minor: u16,
    /// Version of the canonical bytes that it reads and writes.
    pub schema: u32,
    /// Its consensus id, for example `solo/1`, filled up with zeros.
    pub identity: [u8; IDENTITY_MAX],
}

/// The note as it lies in its section.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Note {
    /// Length of the name: [`NOTE_NAME_SIZE`].
    pub name_size: u32,
    /// Length of the descriptor: 64.
    pub descriptor_size: u32,
    /// [`NOTE_TYPE`].
    pub note_type: u32,
    /// [`NOTE_NAME`].
    pub name: [u8; 12],
    /// What the note says.
    pub descriptor: NoteDescriptor,
}

impl Note {
    /// The note of a plugin of this ABI version with the consensus id `identity`.
    ///
    /// # Panics
    /// (At compile time, where the SDK uses it.) If the id is empty, longer than [`IDENTITY_MAX`], or holds anything
    /// but printable ASCII.
    #[must_use]
    pub const fn new(identity: &str) -> Self {
        let id = identity.as_bytes();
        assert!(
            !id.is_empty() && id.len() <= IDENTITY_MAX,
            "a consensus id has 1 to 56 bytes"
        );
        let mut bytes = [0; IDENTITY_MAX];
        let mut i = 0;
        while i < id.len() {
            assert!(
                id[i].is_ascii_graphic(),
                "a consensus id is printable ASCII without spaces"
            );
            bytes[i] = id[i];
            i += 1;
        }
        Self {
            name_size: NOTE_NAME_SIZE,
            descriptor_size: size_of::<NoteDescriptor>() as u32,
            note_type: NOTE_TYPE,
            name: NOTE_NAME,
            descriptor: NoteDescriptor {
                abi_major: crate::ABI_MAJOR,
                abi_minor: crate::ABI_MINOR,
                schema: crate::SCHEMA,
                identity: bytes,
            },
        }
    }
}

impl NoteDescriptor {
    /// Reads a descriptor from the bytes of a note. Longer ones come from later minor versions; their tail is
    /// ignored. `None` when the bytes are too short.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (major, rest) = bytes.split_first_chunk::<2>()?;
        let (minor, rest) = rest.split_first_chunk::<2>()?;
        let (schema, rest) = rest.split_first_chunk::<4>()?;
        let (identity, _) = rest.split_first_chunk::<IDENTITY_MAX>()?;
        Some(Self {
            abi_major: u16::from_le_bytes(*major),
            abi_minor: u16::from_le_bytes(*minor),
            schema: u32::from_le_bytes(*schema),
            identity: *identity,
        })
    }

    /// The consensus id, or `None` if it is empty, not printable ASCII, or not filled up with zeros alone.
    #[must_use]
    pub fn identity(&self) -> Option<&str> {
        let len = self
            .identity
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(IDENTITY_MAX);
        let (id, padding) = self.identity.split_at(len);
        let well_formed =
            !id.is_empty() && id.iter().all(u8::is_ascii_graphic) && padding.iter().all(|byte| *byte == 0);
        if well_formed {
            core::str::from_utf8(id).ok()
        } else {
            None
        }
    }
}
