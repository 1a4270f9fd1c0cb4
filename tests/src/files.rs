//! Folders of nodes: copied as a backup would, and put back.

use std::fs;
use std::path::Path;

/// Copies a folder with everything in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Puts a copy in the place of a folder.
pub fn replace(folder: &Path, with: &Path) {
    fs::remove_dir_all(folder).unwrap();
    copy(with, folder);
}
