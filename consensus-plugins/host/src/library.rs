//! From a checked file to a callable table.

use core::ffi::{CStr, c_char, c_void};
use std::path::Path;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use millrace_plugin_abi::{ABI_MAJOR, ChainState, ENTRY_SYMBOL, Event, Host, PLUGIN_MAGIC, Plugin, Status};

use crate::elf::{self, Checked};
use crate::error::LoadError;
use crate::handle::{PluginInfo, PluginSpec};
use crate::image::Image;

/// A plugin's three functions, checked to be there.
#[derive(Clone, Copy)]
pub struct Callbacks {
    /// See [`Plugin::start`].
    pub start: unsafe extern "C" fn(*const Host, *const ChainState, *mut *mut c_void) -> Status,
    /// See [`Plugin::deliver`].
    pub deliver: unsafe extern "C" fn(*mut c_void, *mut Event) -> Status,
    /// See [`Plugin::stop`].
    pub stop: unsafe extern "C" fn(*mut c_void, u64) -> Status,
}

/// Loads what `spec` names, on the calling thread, for ever.
pub fn load(spec: &PluginSpec) -> Result<(PluginInfo, Callbacks), LoadError> {
    let path = spec.path.as_path();
    let image = Image::of(path)?;
    let hash = blake3::hash(image.bytes());
    if let Some(pin) = spec.pin.map(blake3::Hash::from_bytes).filter(|pin| *pin != hash) {
        let (expected, found) = (pin.to_hex().to_string(), hash.to_hex().to_string());
        return Err(LoadError::Pin {
            path: path.into(),
            expected,
            found,
        });
    }
    let checked = elf::check(path, image.bytes(), spec.consensus_id.as_deref())?;
    let table = open(path, image)?;
    let (version, callbacks) = check_table(path, table, &checked)?;
    let info = PluginInfo {
        path: path.to_owned(),
        consensus_id: checked.consensus_id,
        version,
        abi: checked.abi,
        blake3: *hash.as_bytes(),
    };
    Ok((info, callbacks))
}

/// Maps the image and finds its table.
fn open(path: &Path, image: Image) -> Result<*const Plugin, LoadError> {
    let refuse = |error: libloading::Error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        LoadError::Dlopen {
            path: path.into(),
            reason: cause,
        }
    };
    // SAFETY: running the constructors of a plugin and its dependencies is what the operator asked for by naming it:
    // plugins are trusted code (`docs/spec/plugin-abi.md`, trust).
    let library = unsafe { Library::open(Some(image.into_path()), RTLD_NOW | RTLD_LOCAL) }.map_err(refuse)?;
    // SAFETY: the symbol is only taken as an address here; its type is checked, as far as it can be, by `check_table`.
    let symbol = unsafe { library.get::<*const Plugin>(ENTRY_SYMBOL.as_bytes()) }.map_err(refuse)?;
    let table = symbol.into_raw().cast_const().cast();
    core::mem::forget(library);
    Ok(table)
}

/// Checks a table field by field, each only once it is known to lie within the table.
fn check_table(
    path: &Path,
    table: *const Plugin,
    checked: &Checked,
) -> Result<(String, Callbacks), LoadError> {
    let refuse = |what: String| LoadError::BadTable {
        path: path.into(),
        what,
    };
    if table.is_null() || !table.is_aligned() {
        return Err(refuse("it is not aligned to 8 bytes".into()));
    }
    // SAFETY: the symbol's size was checked to hold the table's first 16 bytes; the library is never unmapped.
    let (magic, major, minor, size) = unsafe {
        (
            (*table).magic,
            (*table).abi_major,
            (*table).abi_minor,
            u64::from((*table).size),
        )
    };
    if magic != PLUGIN_MAGIC {
        return Err(refuse(format!(
            "its magic is {magic:#018x}, not {PLUGIN_MAGIC:#018x}"
        )));
    }
    if major != ABI_MAJOR {
        return Err(LoadError::AbiVersion {
            path: path.into(),
            major,
            minor,
        });
    }
    let needed = size_of::<Plugin>() as u64;
    if size < needed || checked.table_bytes < needed {
        let has = size.min(checked.table_bytes);
        return Err(refuse(format!(
            "it is cut short: {has} bytes of the {needed} that ABI {ABI_MAJOR}.0 has"
        )));
    }
    // SAFETY: magic, version and both sizes say that the whole table is there.
    let table = unsafe { &*table };
    let text = |pointer: *const c_char, name: &str| -> Result<String, LoadError> {
        if pointer.is_null() {
            return Err(refuse(format!("its {name} is null")));
        }
        // SAFETY: not null; that it is terminated is the plugin's part of the ABI.
        let text = unsafe { CStr::from_ptr(pointer) };
        text.to_str()
            .map(str::to_owned)
            .map_err(|_| refuse(format!("its {name} is not UTF-8")))
    };
    let consensus_id = text(table.consensus_id, "consensus_id")?;
    if consensus_id != checked.consensus_id {
        let noted = &checked.consensus_id;
        return Err(refuse(format!("it says {consensus_id}, the note says {noted}")));
    }
    let version = text(table.version, "version")?;
    let missing = |name: &str| refuse(format!("its callback `{name}` is null"));
    let callbacks = Callbacks {
        start: table.start.ok_or_else(|| missing("start"))?,
        deliver: table.deliver.ok_or_else(|| missing("deliver"))?,
        stop: table.stop.ok_or_else(|| missing("stop"))?,
    };
    Ok((version, callbacks))
}
