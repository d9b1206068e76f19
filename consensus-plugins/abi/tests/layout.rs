//! Sizes and offsets of everything that crosses the boundary. A failure here is a new major version, or a mistake.

use core::mem::{align_of, offset_of, size_of};

use millrace_plugin_abi::event::{BlockData, BlockMark, Credit};
use millrace_plugin_abi::{
    Buffer, BuildRequest, Bytes, ChainState, Event, EventData, ForkChoice, HOST_MAGIC, Hash, Host, Note,
    NoteDescriptor, PLUGIN_MAGIC, Plugin, Pressure, PressureValues,
};

macro_rules! layout {
    ($type:ty, size $size:literal, align $align:literal, { $($field:ident: $offset:literal),* $(,)? }) => {
        assert_eq!(size_of::<$type>(), $size, "size of {}", stringify!($type));
        assert_eq!(align_of::<$type>(), $align, "alignment of {}", stringify!($type));
        $(assert_eq!(offset_of!($type, $field), $offset, "{}::{}", stringify!($type), stringify!($field));)*
    };
}

#[test]
fn tables_begin_with_magic_versions_and_size() {
    layout!(Plugin, size 56, align 8, {
        magic: 0, abi_major: 8, abi_minor: 10, size: 12, consensus_id: 16, version: 24, start: 32, deliver: 40, stop: 48,
    });
    layout!(Host, size 144, align 8, {
        magic: 0, abi_major: 8, abi_minor: 10, size: 12, context: 16, pressure: 24, request_block: 32, validate: 40,
        announce_proposal: 48, submit_finalized: 56, kv_get: 64, kv_put: 72, kv_remove: 80, timer_set: 88,
        timer_cancel: 96, now_ms: 104, log: 112, metric: 120, fatal: 128, extension: 136,
    });
    layout!(ForkChoice, size 32, align 8, { size: 0, max_unfinalized_blocks: 4, import_block: 8, set_head: 16, finalize: 24 });
}

#[test]
fn records_begin_with_their_size() {
    layout!(ChainState, size 248, align 8, {
        size: 0, reserved: 4, chain_id: 8, consensus_id: 16, parameters: 32, config: 48, chain_spec_hash: 64,
        genesis_hash: 96, genesis_block: 128, finalized_hash: 144, finalized_height: 176, finalized_block: 184,
        finalized_certificate: 200, max_receipt_lag: 216, block_gas: 224, block_bytes: 232, now_ms: 240,
    });
    layout!(BuildRequest, size 112, align 8, {
        size: 0, flags: 4, parent_hash: 8, proposer: 40, max_gas: 72, max_bytes: 80, timestamp_ms: 88, consensus_data: 96,
    });
    layout!(Event, size 152, align 8, {
        size: 0, kind: 4, token: 8, now_ms: 16, status: 24, reserved: 28, reason: 32, data: 48,
    });
}

#[test]
fn every_member_of_the_event_data_with_a_buffer_begins_with_it() {
    layout!(EventData, size 104, align 8, { block: 0, mark: 0, credit: 0, value: 0 });
    layout!(BlockData, size 104, align 8, { bytes: 0, hash: 32, parent_hash: 64, height: 96 });
    layout!(BlockMark, size 40, align 8, { hash: 0, height: 32 });
    layout!(Credit, size 16, align 8, { blocks: 0, gas: 8 });
    layout!(Bytes, size 16, align 8, { data: 0, len: 8 });
    layout!(Buffer, size 32, align 8, { data: 0, len: 8, owner: 16, release: 24 });
    layout!(Hash, size 32, align 1, { bytes: 0 });
}

#[test]
fn the_pressure_record_is_words_alone() {
    layout!(Pressure, size 104, align 8, {
        size: 0, sequence: 8, credit_blocks: 16, credit_gas: 24, max_gas: 32, max_bytes: 40, min_interval_ms: 48,
        executed_height: 56, persisted_height: 64, settled_height: 72, finalized_height: 80, oldest_in_flight_ms: 88,
        rung: 96,
    });
    assert_eq!(
        size_of::<PressureValues>(),
        size_of::<Pressure>() - 16,
        "the values are the record's words, in its order"
    );
    assert_eq!(offset_of!(PressureValues, rung), offset_of!(Pressure, rung) - 16);
}

#[test]
fn the_note_is_an_elf_note() {
    layout!(Note, size 88, align 4, { name_size: 0, descriptor_size: 4, note_type: 8, name: 12, descriptor: 24 });
    layout!(NoteDescriptor, size 64, align 4, { abi_major: 0, abi_minor: 2, schema: 4, identity: 8 });
    const NOTE: Note = Note::new("solo/1");
    assert_eq!((NOTE.name_size, NOTE.descriptor_size, NOTE.note_type), (9, 64, 1));
    assert_eq!(NOTE.descriptor.identity(), Some("solo/1"));
}

#[test]
fn magics_read_as_text_in_memory() {
    assert_eq!(&PLUGIN_MAGIC.to_le_bytes(), b"MLRPLUG1");
    assert_eq!(&HOST_MAGIC.to_le_bytes(), b"MLRHOST1");
}

#[test]
fn a_note_descriptor_is_read_back_and_never_beyond_its_bytes() {
    let descriptor = Note::new("longest-chain/2").descriptor;
    let mut bytes = Vec::new();
    bytes.extend(descriptor.abi_major.to_le_bytes());
    bytes.extend(descriptor.abi_minor.to_le_bytes());
    bytes.extend(descriptor.schema.to_le_bytes());
    bytes.extend(descriptor.identity);
    assert_eq!(NoteDescriptor::parse(&bytes), Some(descriptor));
    for len in 0..bytes.len() {
        assert_eq!(
            NoteDescriptor::parse(&bytes[..len]),
            None,
            "{len} bytes are too few"
        );
    }
    bytes.push(1);
    assert_eq!(
        NoteDescriptor::parse(&bytes),
        Some(descriptor),
        "a later minor version may append"
    );
}

#[test]
fn an_identity_is_text_filled_up_with_zeros() {
    let with = |identity: &[u8]| {
        let mut descriptor = Note::new("x").descriptor;
        descriptor.identity = [0; 56];
        descriptor.identity[..identity.len()].copy_from_slice(identity);
        descriptor.identity().map(str::to_owned)
    };
    assert_eq!(with(b"solo/1"), Some("solo/1".into()));
    assert_eq!(with(&[b'a'; 56]), Some("a".repeat(56)));
    assert_eq!(with(b""), None);
    assert_eq!(with(b"so lo"), None);
    assert_eq!(with(b"solo\0x"), None);
    assert_eq!(with("sölo".as_bytes()), None);
}
