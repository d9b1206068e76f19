//! The SDK's sources, as the program carries them, for a workspace of another.
//!
//! In the repository the SDK's packages inherit versions and dependencies from the workspace `contracts/`. What is
//! written beside a contract stands for itself: everything inherited is written out.

use toml::{Table, Value};

use crate::failure::Failure;

/// Name below `contracts/` → bytes.
static FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/contract_sdk.rs"));

/// Tables of dependencies that whoever uses the SDK needs.
const DEPENDENCIES: [&str; 2] = ["dependencies", "build-dependencies"];

/// The SDK's files: name below the project's folder, and text.
///
/// # Errors
/// When a manifest inherits what there is not, which is a fault of the build.
pub fn files() -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let workspace = parse("Cargo.toml")?;
    let workspace = workspace
        .get("workspace")
        .and_then(Value::as_table)
        .ok_or_else(|| fault("Cargo.toml", "has no [workspace]"))?;
    let mut files = Vec::new();
    for (name, bytes) in FILES.iter().filter(|(name, _)| name.starts_with("sdk/")) {
        let bytes = match name.strip_suffix("/Cargo.toml") {
            Some(folder) => standalone(name, folder, workspace)?.into_bytes(),
            None => bytes.to_vec(),
        };
        files.push(((*name).to_owned(), bytes));
    }
    Ok(files)
}

/// `millrace.h`, the host calls for C.
pub fn c_header() -> &'static [u8] {
    bytes("sdk/c/millrace.h").unwrap_or_default()
}

/// The versions that the SDK was tested with.
pub fn lock_file() -> &'static [u8] {
    bytes("Cargo.lock").unwrap_or_default()
}

fn bytes(name: &str) -> Option<&'static [u8]> {
    FILES
        .iter()
        .find(|(other, _)| *other == name)
        .map(|(_, bytes)| *bytes)
}

fn fault(name: &str, what: &str) -> Failure {
    Failure::new(format!(
        "the SDK in this program is damaged: contracts/{name} {what}; build the program anew, or give --sdk"
    ))
}

fn parse(name: &str) -> Result<Table, Failure> {
    let text = bytes(name).and_then(|bytes| std::str::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| fault(name, "is missing"))?;
    text.parse()
        .map_err(|error| fault(name, &format!("is no manifest: {error}")))
}

/// The manifest `name` of the package in `folder` with what it inherits from `workspace` written out. Lints are the
/// repository's own affair, as are the tests.
fn standalone(name: &str, folder: &str, workspace: &Table) -> Result<String, Failure> {
    let mut manifest = parse(name)?;
    manifest.remove("lints");
    manifest.remove("dev-dependencies");
    if let Some(package) = manifest.get_mut("package").and_then(Value::as_table_mut) {
        let inherited = workspace.get("package").and_then(Value::as_table);
        for (field, value) in package.iter_mut().filter(|(_, value)| is_inherited(value)) {
            let from = inherited.and_then(|fields| fields.get(field));
            *value = from
                .ok_or_else(|| fault(name, &format!("inherits {field}, which is nowhere")))?
                .clone();
        }
    }
    let up = "../".repeat(folder.split('/').count());
    write_out(name, &up, &mut manifest, workspace)?;
    if let Some(targets) = manifest.get_mut("target").and_then(Value::as_table_mut) {
        for (_, target) in targets.iter_mut() {
            if let Some(target) = target.as_table_mut() {
                target.remove("dev-dependencies");
                write_out(name, &up, target, workspace)?;
            }
        }
    }
    toml::to_string(&manifest).map_err(|error| fault(name, &error.to_string()))
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

/// Writes out inherited dependencies. Paths are the workspace's, `up` leads from the package to it.
fn write_out(name: &str, up: &str, table: &mut Table, workspace: &Table) -> Result<(), Failure> {
    let inherited = workspace.get("dependencies").and_then(Value::as_table);
    for kind in DEPENDENCIES {
        let Some(dependencies) = table.get_mut(kind).and_then(Value::as_table_mut) else {
            continue;
        };
        for (dependency, value) in dependencies.iter_mut().filter(|(_, value)| is_inherited(value)) {
            let from = inherited
                .and_then(|dependencies| dependencies.get(dependency))
                .ok_or_else(|| fault(name, &format!("inherits {dependency}, which is nowhere")))?;
            let mut full = match from {
                Value::Table(table) => table.clone(),
                version => Table::from_iter([("version".to_owned(), version.clone())]),
            };
            if let Some(Value::String(path)) = full.get_mut("path") {
                path.insert_str(0, up);
            }
            for (field, own) in value.as_table().into_iter().flatten() {
                match (field.as_str(), full.get_mut(field), own) {
                    ("workspace", ..) => {}
                    ("features", Some(Value::Array(features)), Value::Array(more)) => {
                        features.extend(more.iter().cloned());
                    }
                    _ => drop(full.insert(field.clone(), own.clone())),
                }
            }
            *value = Value::Table(full);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_is_whole_and_inherits_nothing() {
        let files = files().expect("the build put it here");
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert!(
            names.contains(&"sdk/Cargo.toml") && names.contains(&"sdk/src/lib.rs"),
            "{names:?}"
        );
        assert!(!names.iter().any(|name| name.contains("/tests/")), "{names:?}");
        for (name, bytes) in files.iter().filter(|(name, _)| name.ends_with("Cargo.toml")) {
            let text = String::from_utf8(bytes.clone()).expect("text");
            let manifest: Table = text.parse().expect("a manifest");
            assert!(!text.contains("workspace"), "{name}: {text}");
            assert!(manifest["package"]["version"].is_str(), "{name}: {text}");
        }
    }

    #[test]
    fn inherited_dependencies_are_written_out_with_their_own_features_and_paths() {
        let workspace: Table = "
            [dependencies]
            near = { path = \"sdk/near\", features = [\"a\"] }
            far = \"1.2\"
        "
        .parse()
        .expect("a table");
        let mut table: Table = "
            [dependencies]
            near = { workspace = true, features = [\"b\"], optional = true }
            far.workspace = true
            own = \"3\"
        "
        .parse()
        .expect("a table");
        write_out("x", "../", &mut table, &workspace).expect("all is there");
        let expected: Table = "
            [dependencies]
            near = { path = \"../sdk/near\", features = [\"a\", \"b\"], optional = true }
            far = { version = \"1.2\" }
            own = \"3\"
        "
        .parse()
        .expect("a table");
        assert_eq!(table, expected);
        let mut missing: Table = "[dependencies]\nnowhere.workspace = true"
            .parse()
            .expect("a table");
        assert!(write_out("x", "../", &mut missing, &workspace).is_err());
    }
}
