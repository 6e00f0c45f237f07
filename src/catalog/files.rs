//! The files of a policy: one, or all `.yaml` and `.yml` files of a folder by name.

use std::{
    fs, io,
    io::Read,
    path::{Path, PathBuf},
};

use crate::domain::{policy::MAX_FILE, record::Hash};

/// More files than a folder of policy has.
const MOST_FILES: usize = 64;

/// Why the files of a policy cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the policy at `{}`: {source}", path.display())]
pub struct ReadFailed {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The files of a policy as they were at one moment, not yet looked into.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Files(Vec<(String, Vec<u8>)>);

impl Files {
    pub(super) fn read(path: &Path) -> Result<Self, ReadFailed> {
        read_files(path).map(Self)
    }

    pub(super) fn into_inner(self) -> Vec<(String, Vec<u8>)> {
        self.0
    }

    /// Tells one state of the files from another.
    pub(super) fn fingerprint(&self) -> Hash {
        let mut bytes = Vec::new();
        for (name, content) in &self.0 {
            bytes.extend_from_slice(Hash::of(name.as_bytes()).as_bytes());
            bytes.extend_from_slice(Hash::of(content).as_bytes());
        }
        Hash::of(&bytes)
    }
}

/// Reads a policy file, or every `.yaml` and `.yml` file of a folder in the order of their names. Hidden files and
/// folders inside are left alone.
pub fn read_files(path: &Path) -> Result<Vec<(String, Vec<u8>)>, ReadFailed> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |source| ReadFailed { path, source }
    };
    let paths = if fs::metadata(path).map_err(at(path))?.is_dir() {
        in_folder(path).map_err(at(path))?
    } else {
        vec![path.to_path_buf()]
    };
    paths
        .iter()
        .map(|path| {
            let bytes = read(path).map_err(at(path))?;
            Ok((path.display().to_string(), bytes))
        })
        .collect()
}

fn in_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_yaml = path
            .extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml");
        let is_hidden = path
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if is_yaml && !is_hidden && fs::metadata(&path)?.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    match paths.len() {
        0 => Err(io::Error::other(
            "there is no .yaml or .yml file in this folder",
        )),
        count if count > MOST_FILES => Err(io::Error::other(format!(
            "there are {count} files in this folder; the most is {MOST_FILES}"
        ))),
        _ => Ok(paths),
    }
}

/// Reads at most one byte more than a policy may have: what is too large is refused by whoever parses it.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_FILE)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
