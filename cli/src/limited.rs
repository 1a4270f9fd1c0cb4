//! Files that a user names, read within a limit: of one that grows meanwhile, and of a device or a pipe
//! that never ends, no more is read than that.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::exit::UserError;

/// Reads a file of at most so many bytes; `what` says what it is, for whoever gave a larger one.
pub(crate) fn read_limited(file: &Path, bytes_max: u64, what: &str) -> Result<Vec<u8>> {
    let about = || format!("cannot read {}", file.display());
    let opened = File::open(file).with_context(about)?;
    let bytes = read_from(opened, bytes_max).with_context(about)?;
    bytes.ok_or_else(|| too_large(&file.display().to_string(), bytes_max, what))
}

/// The same where `-` is standard input.
pub(crate) fn read_input(file: &Path, bytes_max: u64, what: &str) -> Result<Vec<u8>> {
    if file != Path::new("-") {
        return read_limited(file, bytes_max, what);
    }
    let bytes = read_from(io::stdin().lock(), bytes_max).context("cannot read standard input")?;
    bytes.ok_or_else(|| too_large("standard input", bytes_max, what))
}

/// The same where there may be no such file.
pub(crate) fn read_if_there(file: &Path, bytes_max: u64, what: &str) -> Result<Option<Vec<u8>>> {
    match read_limited(file, bytes_max, what) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_missing(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound)
}

fn too_large(file: &str, bytes_max: u64, what: &str) -> anyhow::Error {
    UserError::usage(format!("{file}: {what} has at most {bytes_max} bytes"))
}

/// Nothing where there is more than the limit.
fn read_from(from: impl Read, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    from.take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Ok((length <= bytes_max).then_some(bytes))
}

/// The lines of a file that may be long as a whole, each of at most so many bytes.
pub(crate) fn lines_within(
    mut from: impl BufRead,
    bytes_max: u64,
) -> impl Iterator<Item = io::Result<String>> {
    let mut next = move || -> io::Result<Option<String>> {
        let mut line = Vec::new();
        // With the line break.
        let limit = bytes_max.saturating_add(2);
        from.by_ref().take(limit).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > bytes_max {
            let what = format!("a line has at most {bytes_max} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let text = str::from_utf8(text);
        text.map(|text| Some(text.to_owned()))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    };
    std::iter::from_fn(move || next().transpose())
}

/// The name of a file without its folder, as messages call it.
pub(crate) fn name_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str());
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit_and_no_further() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.txt");
        std::fs::write(&file, "12345").unwrap();
        assert_eq!(read_limited(&file, 5, "a text").unwrap(), b"12345");
        let error = read_limited(&file, 4, "a text").unwrap_err().to_string();
        assert!(
            error.ends_with("a.txt: a text has at most 4 bytes"),
            "{error}"
        );
        let none = folder.path().join("b.txt");
        assert!(read_limited(&none, 4, "a text").is_err());
        assert!(read_if_there(&none, 4, "a text").unwrap().is_none());
        assert!(read_if_there(&file, 4, "a text").is_err());
    }

    #[test]
    fn lines_end_at_their_limit() {
        let lines = |text: &'static str| -> Vec<io::Result<String>> {
            lines_within(text.as_bytes(), 3).take(3).collect()
        };
        let whole: Vec<String> = lines("abc\r\n\nd")
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(whole, ["abc", "", "d"]);
        let long = lines("abcd\ne\n");
        assert!(
            long[0]
                .as_ref()
                .unwrap_err()
                .to_string()
                .contains("at most 3")
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_device_without_an_end_is_refused() {
        let error = read_limited(Path::new("/dev/zero"), 1000, "a text").unwrap_err();
        assert!(error.to_string().contains("at most 1000"), "{error}");
    }
}
