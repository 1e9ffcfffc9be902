//! What the operating system knows of this process and of the disk it writes to.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;

use super::family::Family;
use super::survey::{Figures, Survey};

const CPU: Family = Family::counter(
    "process_cpu_seconds_total",
    &[],
    "Processor time that this process has used, its own and the system's.",
)
.in_seconds();
const RESIDENT: Family = Family::gauge(
    "process_resident_memory_bytes",
    &[],
    "Memory that this process has in RAM.",
);
const VIRTUAL: Family = Family::gauge(
    "process_virtual_memory_bytes",
    &[],
    "Address space that this process has.",
);
const FDS: Family = Family::gauge("process_open_fds", &[], "File descriptors that are open.");
const MAX_FDS: Family = Family::gauge("process_max_fds", &[], "How many file descriptors may be open.");
const THREADS: Family = Family::gauge("process_threads", &[], "Threads of this process.");
const STARTED: Family = Family::gauge(
    "process_start_time_seconds",
    &[],
    "When this process began, in seconds since the epoch.",
)
.in_seconds();

const FILES: Family = Family::gauge(
    "cambist_database_file_bytes",
    &["file"],
    "Size of the embedded database and of its write-ahead log.",
);
const AVAILABLE: Family = Family::gauge(
    "cambist_data_disk_available_bytes",
    &[],
    "What can still be written to the file system of the database.",
);
const SIZE: Family = Family::gauge(
    "cambist_data_disk_size_bytes",
    &[],
    "Size of the file system of the database.",
);

/// This process, by `/proc`: on other systems than Linux its figures are missing.
#[derive(Debug, Clone, Copy)]
pub struct Process;

#[async_trait]
impl Survey for Process {
    fn name(&self) -> &'static str {
        "process"
    }

    fn families(&self) -> &'static [&'static Family] {
        &[&CPU, &RESIDENT, &VIRTUAL, &FDS, &MAX_FDS, &THREADS, &STARTED]
    }

    async fn read(&self, _: Timestamp) -> Result<Figures, String> {
        tokio::task::spawn_blocking(of_this_process)
            .await
            .map_err(|error| error.to_string())?
    }
}

#[cfg(target_os = "linux")]
fn of_this_process() -> Result<Figures, String> {
    use procfs::process::{LimitValue, Process as Found};
    let figures = || -> procfs::ProcResult<Figures> {
        let found = Found::myself()?;
        let (stat, limits) = (found.stat()?, found.limits()?);
        let mut figures = Figures::new();
        let micros = |ticks: u64| i128::from(ticks) * 1_000_000 / i128::from(procfs::ticks_per_second());
        figures.put(&CPU, &[], micros(stat.utime.saturating_add(stat.stime)));
        figures.put(&RESIDENT, &[], i128::from(stat.rss) * i128::from(procfs::page_size()));
        figures.put(&VIRTUAL, &[], stat.vsize);
        figures.put(&FDS, &[], i128::try_from(found.fd_count()?).unwrap_or(i128::MAX));
        if let LimitValue::Value(most) = limits.max_open_files.soft_limit {
            figures.put(&MAX_FDS, &[], most);
        }
        figures.put(&THREADS, &[], stat.num_threads);
        let booted = i128::from(procfs::boot_time_secs()?) * 1_000_000;
        figures.put(&STARTED, &[], booted + micros(stat.starttime));
        Ok(figures)
    };
    figures().map_err(|error| error.to_string())
}

#[cfg(not(target_os = "linux"))]
fn of_this_process() -> Result<Figures, String> {
    Err("the process is only known where there is /proc".to_owned())
}

/// A look at the embedded database's file, its log, and the disk they lie on.
#[must_use]
pub fn disk(database: PathBuf) -> Arc<dyn Survey> {
    Arc::new(Disk(database))
}

struct Disk(PathBuf);

#[async_trait]
impl Survey for Disk {
    fn name(&self) -> &'static str {
        "disk"
    }

    fn families(&self) -> &'static [&'static Family] {
        &[&FILES, &AVAILABLE, &SIZE]
    }

    async fn read(&self, _: Timestamp) -> Result<Figures, String> {
        let database = self.0.clone();
        tokio::task::spawn_blocking(move || of_the_disk(database).map_err(|error| error.to_string()))
            .await
            .map_err(|error| error.to_string())?
    }
}

fn of_the_disk(database: PathBuf) -> std::io::Result<Figures> {
    let mut figures = Figures::new();
    let disk = rustix::fs::statvfs(&database)?;
    figures.put(&AVAILABLE, &[], i128::from(disk.f_bavail) * i128::from(disk.f_frsize));
    figures.put(&SIZE, &[], i128::from(disk.f_blocks) * i128::from(disk.f_frsize));
    figures.put(&FILES, &["database"], std::fs::metadata(&database)?.len());
    let mut log = database.into_os_string();
    log.push("-wal");
    match std::fs::metadata(&log) {
        Ok(log) => figures.put(&FILES, &["log"], log.len()),
        // A log that nobody has open is no file.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => figures.put(&FILES, &["log"], 0),
        Err(error) => return Err(error),
    }
    Ok(figures)
}
