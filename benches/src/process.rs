//! Child processes under load: started on loopback, stopped with the bench, their CPU time read.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A server that ends with the bench.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
}

impl Server {
    /// Starts the command; what it says goes to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = fs::File::create(log).with_context(|| log.display().to_string())?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child })
    }

    /// User and system time of the process so far, in microseconds (`/proc/<pid>/stat`, whose unit
    /// on Linux is 1/100 s whatever the kernel's own tick).
    pub(crate) fn cpu_us(&self) -> Result<u64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The second field is the program's name in parentheses and may hold blanks.
        let after_name = stat.rsplit_once(") ").context("malformed /proc stat")?.1;
        let fields: Vec<&str> = after_name.split(' ').collect();
        let ticks = |position: usize| -> Result<u64> {
            Ok(fields.get(position).context("short /proc stat")?.parse()?)
        };
        Ok((ticks(11)? + ticks(12)?) * 10_000)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended is as good as killed.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Loopback ports that were free a moment ago.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let held = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<Vec<_>, _>>()?;
    held.iter()
        .map(|socket| Ok(socket.local_addr()?.port()))
        .collect()
}
