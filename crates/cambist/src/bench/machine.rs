//! What the operating system tells of a process, and of the machine that all of it depends on.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};

/// Processor times are told in hundredths of a second (`USER_HZ`, time(7); the same on every architecture we know).
const TICK: Duration = Duration::from_millis(10);
/// How many writes are forced to disk to find out how long one takes.
const FORCED: u32 = 50;

/// What a process has in memory, in bytes, from `/proc/PID/status`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Now.
    pub(super) resident: u64,
    /// The most it ever was (`VmHWM`).
    pub(super) peak: u64,
}

/// A process's memory.
pub(super) fn memory(process: u32) -> anyhow::Result<Memory> {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| path.clone())?;
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        kib.map(|kib| kib * 1_024)
            .with_context(|| format!("{path} has no {name}"))
    };
    Ok(Memory {
        resident: bytes("VmRSS")?,
        peak: bytes("VmHWM")?,
    })
}

/// The processor time that a process has used so far.
pub(super) fn processor_time(process: u32) -> anyhow::Result<Duration> {
    read_processor_time(&format!("/proc/{process}/stat"))
}

/// That of this process.
pub(super) fn own_processor_time() -> anyhow::Result<Duration> {
    read_processor_time("/proc/self/stat")
}

fn read_processor_time(path: &str) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(path).with_context(|| path.to_owned())?;
    // The name in parentheses may hold anything; utime and stime are the twelfth and thirteenth field after it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u32 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u32>().ok())
        .sum();
    Ok(TICK * ticks)
}

/// The machine.
#[derive(Debug, Default)]
pub(super) struct Facts {
    processor: String,
    processors: usize,
    memory: u64,
    kernel: String,
    /// How long a small write takes to reach the disk, the median.
    forced_write: Option<Duration>,
}

impl Facts {
    /// What can be found out; `folder` is where the disk is tried.
    pub(super) fn read(folder: &Path) -> Self {
        let line_of = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
            value.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let kib: u64 = line_of("/proc/meminfo", "MemTotal")
            .split_whitespace()
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or(0);
        Self {
            processor: line_of("/proc/cpuinfo", "model name"),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            memory: kib * 1_024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            forced_write: try_disk(folder).ok(),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "processors": self.processors,
            "processor": self.processor,
            "memory_bytes": self.memory,
            "kernel": self.kernel,
            "fdatasync_us": self.forced_write.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
        })
    }

    /// In a line.
    pub(super) fn line(&self) -> String {
        let disk = self.forced_write.map_or_else(String::new, |time| {
            format!(", a write reaches the disk in {} µs", time.as_micros())
        });
        format!("{} processors ({}){disk}", self.processors, self.processor)
    }
}

fn try_disk(folder: &Path) -> anyhow::Result<Duration> {
    let mut file = File::create(folder.join("forced"))?;
    let mut times = Vec::new();
    for _ in 0..FORCED {
        let began = Instant::now();
        file.write_all(&[0; 4_096])?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    times.get(times.len() / 2).copied().context("nothing was tried")
}
