//! A terminal at which a program asks somebody.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Command, ExitStatus, Stdio};

use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// What a program did that asked.
#[derive(Debug)]
pub struct Answered {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed as data.
    pub stdout: String,
    /// What stood on the terminal.
    pub screen: String,
}

/// Runs a program at a terminal and gives this answer to the first question that ends so.
pub fn answer(mut command: Command, (question, answer): (&str, &str)) -> Answered {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let theirs = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NOCTTY.bits().cast_signed())
        .open(OsStr::from_bytes(name.as_bytes()))
        .unwrap();
    command
        .stdin(theirs.try_clone().unwrap())
        .stderr(theirs)
        .stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    // It holds their side of the terminal, which ends when nobody does.
    drop(command);
    let mut ours = File::from(ours);
    let mut screen = Vec::new();
    let mut piece = [0; 4096];
    let mut is_answered = false;
    // At the end of their side reading fails, as Linux has it.
    while let Ok(length) = ours.read(&mut piece) {
        if length == 0 {
            break;
        }
        screen.extend_from_slice(&piece[..length]);
        if !is_answered && String::from_utf8_lossy(&screen).ends_with(question) {
            ours.write_all(format!("{answer}\n").as_bytes()).unwrap();
            is_answered = true;
        }
    }
    let ended = child.wait_with_output().unwrap();
    Answered {
        status: ended.status,
        stdout: String::from_utf8(ended.stdout).unwrap(),
        screen: String::from_utf8_lossy(&screen).into_owned(),
    }
}
