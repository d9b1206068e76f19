//! What a file of the cache holds: a batch, as it lies in memory once it is linked. All numbers are little endian.
//!
//! ```text
//! offset  bytes
//!      0     32  BLAKE3 of everything behind it, keyed with the cache's key
//!     32      8  "MLRCODE" and the version of this format
//!     40     32  the name: the hash of what the code was made of, and the file's name
//!     72      4  bytes of tables
//!     76      4  bytes of code
//!     80         tables: functions (u32), traps (u32);
//!                for each function: entry, offset, bytes, thunk, its bytes, instructions, whether it is real, places;
//!                all places: offset, pc; all traps
//!      …         code
//! ```
//!
//! Code has no address in it, so that it runs wherever it is put: calls inside a batch are relative, everything outside
//! goes by the context. A batch whose relocations are of any other kind is not stored.

use blake3::Hasher;

use crate::runtime::native::{Batch, Function, Place};

/// Bytes before the tables.
pub(super) const HEADER_BYTES: usize = 80;
const MAC_BYTES: usize = 32;
const MAGIC: &[u8; 8] = b"MLRCODE\x01";
const FUNCTION_BYTES: usize = 32;
const PLACE_BYTES: usize = 8;
const TRAP_BYTES: usize = 4;

/// Lengths of the parts of a file, as its header gives them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Parts {
    pub(super) tables: u32,
    pub(super) code: u32,
}

/// What is known of the code beside its bytes.
#[derive(PartialEq, Debug)]
pub(super) struct Tables {
    /// Ascending by entry.
    pub(super) functions: Vec<Function>,
    /// Ascending.
    pub(super) traps: Vec<u32>,
}

/// Header and tables of the file with that name for a batch, whose code follows them. Nothing for one that is too large to
/// be described.
pub(super) fn encode(key: &[u8; 32], name: &[u8; 32], batch: &Batch) -> Option<Vec<u8>> {
    let tables = encode_tables(batch.functions(), batch.traps())?;
    let mut file = vec![0; MAC_BYTES];
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(name);
    file.extend_from_slice(&u32::try_from(tables.len()).ok()?.to_le_bytes());
    file.extend_from_slice(&u32::try_from(batch.bytes().len()).ok()?.to_le_bytes());
    file.extend_from_slice(&tables);
    let mac = mac(key, &file[MAC_BYTES..], batch.bytes());
    file[..MAC_BYTES].copy_from_slice(&mac);
    Some(file)
}

/// The lengths in a header of the file with that name, if together they come to the file's. Nothing here is authentic yet.
pub(super) fn parts(header: &[u8; HEADER_BYTES], name: &[u8; 32], file_len: u64) -> Option<Parts> {
    let mut rest = Reader(&header[MAC_BYTES..]);
    if rest.take(MAGIC.len())? != MAGIC || rest.take(name.len())? != name {
        return None;
    }
    let parts = Parts {
        tables: rest.number()?,
        code: rest.number()?,
    };
    let len = HEADER_BYTES as u64 + u64::from(parts.tables) + u64::from(parts.code);
    (len == file_len && parts.code > 0).then_some(parts)
}

/// Whether whoever has the key wrote this header before these tables and this code.
pub(super) fn is_authentic(key: &[u8; 32], header: &[u8; HEADER_BYTES], tables: &[u8], code: &[u8]) -> bool {
    let mut hasher = Hasher::new_keyed(key);
    hasher.update(&header[MAC_BYTES..]).update(tables).update(code);
    let mut given = [0; MAC_BYTES];
    given.copy_from_slice(&header[..MAC_BYTES]);
    // This comparison takes the same time wherever they differ.
    hasher.finalize() == blake3::Hash::from_bytes(given)
}

fn mac(key: &[u8; 32], before: &[u8], code: &[u8]) -> [u8; MAC_BYTES] {
    *Hasher::new_keyed(key)
        .update(before)
        .update(code)
        .finalize()
        .as_bytes()
}

fn encode_tables(functions: &[Function], traps: &[u32]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(8 + functions.len() * FUNCTION_BYTES + traps.len() * TRAP_BYTES);
    let mut number = |number: u32| bytes.extend_from_slice(&number.to_le_bytes());
    number(u32::try_from(functions.len()).ok()?);
    number(u32::try_from(traps.len()).ok()?);
    for function in functions {
        let Function {
            entry,
            offset,
            len,
            thunk,
            thunk_len,
            instructions,
            ref places,
            is_real,
            is_callable,
        } = *function;
        let places = u32::try_from(places.len()).ok()?;
        [
            entry,
            offset,
            len,
            thunk,
            thunk_len,
            instructions,
            u32::from(is_real) | u32::from(is_callable) << 1,
            places,
        ]
        .into_iter()
        .for_each(&mut number);
    }
    for place in functions.iter().flat_map(|function| &function.places) {
        number(place.offset);
        number(place.pc);
    }
    traps.iter().copied().for_each(&mut number);
    Some(bytes)
}

/// Reads tables for `code_len` bytes of code, made of text from `text.0` on, `text.1` bytes. Whatever the bytes are, no more
/// memory is taken than they have, and what comes back lies inside code and text.
pub(super) fn decode_tables(bytes: &[u8], code_len: u32, text: (u32, u32)) -> Option<Tables> {
    let mut rest = Reader(bytes);
    let (functions, traps) = (rest.number()? as usize, rest.number()? as usize);
    let fixed = functions
        .checked_mul(FUNCTION_BYTES)?
        .checked_add(traps.checked_mul(TRAP_BYTES)?)?;
    let mut places_left = rest.0.len().checked_sub(fixed)?;
    let mut records = Reader(rest.take(functions * FUNCTION_BYTES)?);
    let mut tables = Tables {
        functions: Vec::with_capacity(functions),
        traps: Vec::new(),
    };
    let mut after_entry = text.0;
    for _ in 0..functions {
        let (mut function, places) = decode_function(&mut records)?;
        let is_inside = function.entry >= after_entry
            && function.entry.is_multiple_of(2)
            && function.entry - text.0 < text.1
            && lies_inside(function.offset, function.len, code_len)
            && (is_its_own_thunk(&function) || lies_inside(function.thunk, function.thunk_len, code_len));
        if !is_inside {
            return None;
        }
        after_entry = function.entry + 1;
        places_left = places_left.checked_sub(places.checked_mul(PLACE_BYTES)?)?;
        let mut pairs = Reader(rest.take(places * PLACE_BYTES)?);
        function.places = (0..places).map(|_| pairs.place()).collect::<Option<_>>()?;
        tables.functions.push(function);
    }
    if places_left != 0 {
        return None;
    }
    // Most of the tables: taken as a whole and checked without a branch for each, which is several times as fast.
    let (numbers, _) = rest.take(traps * TRAP_BYTES)?.as_chunks();
    tables.traps = numbers.iter().map(|&number| u32::from_le_bytes(number)).collect();
    let pairs = tables.traps.iter().zip(tables.traps.iter().skip(1));
    let is_ascending = pairs.fold(true, |is_ascending, (before, after)| {
        is_ascending & (before < after)
    });
    let is_inside = tables.traps.last().is_none_or(|&last| last < code_len);
    (is_ascending && is_inside).then_some(tables)
}

/// A function without its places, and how many there are.
fn decode_function(records: &mut Reader<'_>) -> Option<(Function, usize)> {
    let mut function = Function {
        entry: records.number()?,
        offset: records.number()?,
        len: records.number()?,
        thunk: records.number()?,
        thunk_len: records.number()?,
        instructions: records.number()?,
        places: Box::default(),
        is_real: false,
        is_callable: false,
    };
    let flags = records.number().filter(|flags| flags >> 2 == 0)?;
    (function.is_real, function.is_callable) = (flags & 1 != 0, flags & 2 != 0);
    Some((function, records.number()? as usize))
}

fn lies_inside(offset: u32, len: u32, code_len: u32) -> bool {
    len > 0 && offset.checked_add(len).is_some_and(|end| end <= code_len)
}

/// Whether a function needs no thunk to be entered by.
fn is_its_own_thunk(function: &Function) -> bool {
    function.thunk == function.offset && function.thunk_len == 0
}

/// Bytes that have not been read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*number))
    }

    fn place(&mut self) -> Option<Place> {
        Some(Place {
            offset: self.number()?,
            pc: self.number()?,
        })
    }
}
