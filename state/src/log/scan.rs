//! What a directory holds of a log.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::record::{
    FORMAT_VERSION, HEAD, Head, MAX_PAYLOAD, RecordHash, SEGMENT_HEAD, Salt, SegmentHead, newer_format,
};
use super::{Entry, OpenLogError, Place, Segment, name_of};
use crate::files::{File, Files};

/// What was found.
#[derive(Default)]
pub(super) struct Scanned {
    pub(super) segments: BTreeMap<u64, Arc<Segment>>,
    pub(super) records: BTreeMap<u64, Entry>,
    pub(super) last: RecordHash,
    pub(super) next: u64,
    /// Of the last segment.
    pub(super) ordinal: u32,
    /// Where the last whole record ends in the last segment.
    pub(super) end: u64,
    /// Where what cannot be used begins, and its bytes.
    pub(super) torn: Option<(Place, u64)>,
    /// What was wrong, where that does not end it.
    pub(super) damage: Vec<OpenLogError>,
}

impl Scanned {
    /// Ends with an error, or notes it where all is to be found that can be.
    fn tell(&mut self, error: OpenLogError, depth: Depth) -> Result<(), OpenLogError> {
        if depth != Depth::Rescue {
            return Err(error);
        }
        self.damage.push(error);
        Ok(())
    }
}

/// The head of a segment, if it has one.
pub(super) fn head_of(file: &dyn File) -> io::Result<Option<SegmentHead>> {
    if file.len()? < SEGMENT_HEAD as u64 {
        return Ok(None);
    }
    let mut bytes = [0; SEGMENT_HEAD];
    file.read(&mut bytes, 0)?;
    Ok(SegmentHead::from_bytes(&bytes))
}

/// Refuses a segment of a newer format: what looks like damage in it is none, and nothing may be cut off.
pub(super) fn check_format(file: &dyn File, name: &str) -> Result<(), OpenLogError> {
    let io = |source| OpenLogError::Io {
        doing: format!("reading {name}"),
        source,
    };
    if file.len().map_err(io)? < SEGMENT_HEAD as u64 {
        return Ok(());
    }
    let mut bytes = [0; SEGMENT_HEAD];
    file.read(&mut bytes, 0).map_err(io)?;
    match newer_format(&bytes) {
        None => Ok(()),
        Some(found) => Err(OpenLogError::NewerFormat {
            file: name.to_owned(),
            found,
            known: FORMAT_VERSION,
        }),
    }
}

/// Names of segments, the oldest first.
pub(super) fn segment_names(files: &dyn Files) -> Result<Vec<String>, OpenLogError> {
    let mut names = files.list().map_err(|source| OpenLogError::Io {
        doing: "listing the directory".to_owned(),
        source,
    })?;
    names.retain(|name| {
        name.len() == 24 && name.ends_with(".log") && name[..20].bytes().all(|c| c.is_ascii_digit())
    });
    Ok(names)
}

/// How much is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Of sealed segments only the records' heads: a segment was durable when the next was begun, so that a power failure
    /// left it whole.
    Heads,
    /// Everything.
    All,
    /// Everything, and damage does not end it: what lies in the segments behind it is looked at too.
    Rescue,
}

/// Goes through all segments, oldest first.
pub(super) fn scan(files: &dyn Files, depth: Depth) -> Result<Scanned, OpenLogError> {
    let io = |doing: String| move |source| OpenLogError::Io { doing, source };
    let mut found = Scanned::default();
    let names = segment_names(files)?;
    let last = names.last().cloned();
    for name in names {
        let checks_payloads = depth != Depth::Heads || last.as_ref() == Some(&name);
        let reading = || io(format!("reading {name}"));
        let file = files.open(&name).map_err(reading())?;
        let len = file.len().map_err(reading())?;
        let head = head_of(&*file).map_err(reading())?;
        if found.torn.is_some() {
            // A segment is begun when all before it is durable.
            let error = damaged(&found);
            found.tell(error, depth)?;
            found.torn = None;
        }
        let Some(head) = head else {
            check_format(&*file, &name)?;
            // Where it had just been begun nothing in it was promised. But a head is durable before a record is written
            // behind it, and all records before it are before it is begun.
            let is_new = len <= SEGMENT_HEAD as u64 && name == name_of(found.next);
            let place = Place {
                file: name,
                offset: 0,
            };
            found.torn = Some((place, len));
            if !is_new {
                let error = damaged(&found);
                found.tell(error, depth)?;
                found.torn = None;
            }
            continue;
        };
        if name != name_of(head.first) {
            // It would be looked for by its own name when it is forgotten.
            let error = OpenLogError::Gap {
                file: name.clone(),
                first: head.first,
                expected: found.next,
            };
            found.tell(error, depth)?;
            continue;
        }
        if found.segments.is_empty() {
            (found.next, found.last) = (head.first, head.before);
            found.ordinal = head.ordinal;
        } else if (head.first, head.before, head.ordinal)
            != (found.next, found.last, found.ordinal.wrapping_add(1))
        {
            let error = gap_or_damage(&found, name.clone(), head);
            found.tell(error, depth)?;
            (found.next, found.last) = (head.first, head.before);
        }
        found.end = SEGMENT_HEAD as u64;
        let (first, salt) = (head.first, head.salt);
        found.ordinal = head.ordinal;
        while found.end < len {
            let next = if checks_payloads {
                next_record(&*file, &found, len)
            } else {
                next_head(&*file, &found, &salt, len)
            };
            match next.map_err(reading())? {
                Some(head) => {
                    found.records.insert(
                        head.sequence,
                        Entry {
                            segment: first,
                            offset: found.end,
                            head,
                        },
                    );
                    found.last = head.hash;
                    found.next = found.next.saturating_add(1);
                    found.end += head.record_len();
                }
                None => {
                    found.torn = Some((
                        Place {
                            file: name.clone(),
                            offset: found.end,
                        },
                        len - found.end,
                    ));
                    let looked = look_for_promises(&*file, &salt, len, &found).map_err(reading())?;
                    if let Err(error) = looked {
                        found.tell(error, depth)?;
                        found.torn = None;
                    }
                    break;
                }
            }
        }
        found.segments.insert(
            first,
            Arc::new(Segment {
                first,
                ordinal: head.ordinal,
                salt,
                name,
                file,
            }),
        );
    }
    Ok(found)
}

/// The record that begins where the last one ended, if it is whole and follows.
fn next_record(file: &dyn File, found: &Scanned, len: u64) -> io::Result<Option<Head>> {
    let Some(head) = head_at(file, found.end, len)? else {
        return Ok(None);
    };
    if head.sequence != found.next {
        return Ok(None);
    }
    let mut payload = vec![0; head.len as usize];
    file.read(&mut payload, found.end + HEAD as u64)?;
    Ok(head.fits(&found.last, &payload).then_some(head))
}

/// The same in a sealed segment, whose payloads are checked when they are read.
fn next_head(file: &dyn File, found: &Scanned, salt: &Salt, len: u64) -> io::Result<Option<Head>> {
    let head = head_at(file, found.end, len)?;
    Ok(head.filter(|head| head.sequence == found.next && head.is_marked(salt)))
}

/// The head at an offset, if it and the payload it tells of lie within the file.
fn head_at(file: &dyn File, offset: u64, len: u64) -> io::Result<Option<Head>> {
    if len - offset < HEAD as u64 {
        return Ok(None);
    }
    let mut bytes = [0; HEAD];
    file.read(&mut bytes, offset)?;
    let head = Head::from_bytes(&bytes);
    let fits = head.len as usize <= MAX_PAYLOAD && head.record_len() <= len - offset;
    Ok(fits.then_some(head))
}

/// Looks behind a torn record for the head of one that says that the torn one had been durable. The torn one may have lost
/// its own length, so that any byte may be where the next begins.
fn look_for_promises(
    file: &dyn File,
    salt: &Salt,
    len: u64,
    found: &Scanned,
) -> io::Result<Result<(), OpenLogError>> {
    let promises = |bytes: &[u8]| {
        let head = bytes.first_chunk::<HEAD>().map(Head::from_bytes);
        // In this order, for the last takes longest.
        head.is_some_and(|head| {
            (found.next + 1..=head.sequence).contains(&head.durable) && head.is_marked(salt)
        })
    };
    // In pieces that overlap: the tail may be as long as its file is said to be.
    let mut start = found.end;
    let mut piece = Vec::new();
    while start < len {
        let end = len.min(start + PIECE);
        piece.resize((end - start) as usize, 0);
        file.read(&mut piece, start)?;
        if piece.windows(HEAD).any(promises) {
            return Ok(Err(damaged(found)));
        }
        if end == len {
            break;
        }
        start = end - (HEAD as u64 - 1);
    }
    Ok(Ok(()))
}

/// Bytes that are looked through at a time.
const PIECE: u64 = 1 << 20;

fn damaged(found: &Scanned) -> OpenLogError {
    let place = match &found.torn {
        Some((place, _)) => place.clone(),
        None => Place {
            file: found
                .segments
                .values()
                .next_back()
                .map_or_else(String::new, |segment| segment.name.clone()),
            offset: found.end,
        },
    };
    OpenLogError::Damaged {
        place,
        sequence: found.next,
        last_label: found
            .records
            .values()
            .next_back()
            .map_or(0, |entry| entry.head.label),
    }
}

/// A segment that begins behind where the one before it ends: records at the end of that one are gone, which were durable
/// when this one was begun.
fn gap_or_damage(found: &Scanned, file: String, head: SegmentHead) -> OpenLogError {
    if head.first > found.next {
        damaged(found)
    } else {
        OpenLogError::Gap {
            file,
            first: head.first,
            expected: found.next,
        }
    }
}
