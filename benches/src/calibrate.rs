//! What this machine can do at all, measured beside every run: figures of two machines, or of one
//! machine on two days, compare only in the light of these.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use aimslog_proto::statement::key::{Signer as _, SigningKey};
use anyhow::Result;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// The figures of one machine at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Calibration {
    /// Median time of appending 4 KiB to a file and syncing it, in microseconds.
    pub(crate) fdatasync_us: u64,
    /// Bytes that SHA-256 takes in a microsecond, that is MB/s.
    pub(crate) sha256_mb_per_second: u64,
    /// Median time of one strict Ed25519 verification, in microseconds.
    pub(crate) verify_us: u64,
    /// The load averages of the last 1, 5 and 15 minutes.
    pub(crate) load_average: String,
}

/// Measures; takes about a second. The file is made in `dir`, where the clusters keep their data.
pub(crate) fn calibrate(dir: &Path) -> Result<Calibration> {
    let load_average = fs::read_to_string("/proc/loadavg")?;
    let load_average: Vec<&str> = load_average.split(' ').take(3).collect();
    let mut file = File::create(dir.join("calibration"))?;
    let fdatasync_us = median_us(50, || {
        file.write_all(&[0x5a; 4096])?;
        Ok(file.sync_data()?)
    })?;
    let buffer = vec![0x5a_u8; 1 << 20];
    let mut digest = Sha256::new();
    let mebibyte_us = median_us(20, || {
        digest.update(&buffer);
        Ok(())
    })?;
    let key = SigningKey::from_seed(&[7; 32]);
    let public = key.public_key();
    let signature = key.sign(&buffer[..512])?;
    let verify_us = median_us(200, || Ok(public.verify(&buffer[..512], &signature)?))?;
    Ok(Calibration {
        fdatasync_us,
        sha256_mb_per_second: (1 << 20) / mebibyte_us.max(1),
        verify_us,
        load_average: load_average.join(" "),
    })
}

/// The median of so many runs, in microseconds.
fn median_us(runs: usize, mut run: impl FnMut() -> Result<()>) -> Result<u64> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let began = Instant::now();
        run()?;
        times.push(u64::try_from(began.elapsed().as_micros())?);
    }
    times.sort_unstable();
    Ok(times.get(runs / 2).copied().unwrap_or(0))
}
