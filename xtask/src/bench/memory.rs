//! What a command needs of memory: the most that our own processes held together, and the largest program we ran.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Peaks in MB (10^6 bytes), read from `/proc` while the command ran.
#[derive(Clone, Debug, Default)]
pub struct Peak {
    /// Sum of the peaks (`VmHWM`) of our own processes that lived at the same time; what they share counts for each.
    pub ours: f64,
    /// Name and peak of the largest other program.
    pub largest_tool: (String, f64),
}

/// Runs a command of ours and watches it and everything it starts.
pub fn peak(command: &mut Command, program: &Path) -> Result<Peak, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(failed)?;
    let mut peak = Peak::default();
    loop {
        look(child.id(), program, &mut peak);
        match child.try_wait().map_err(failed)? {
            Some(status) if status.success() => return Ok(peak),
            Some(status) => return Err(status.to_string()),
            // The command's time is measured too: looking may not take a part of it that counts.
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn look(top: u32, program: &Path, peak: &mut Peak) {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let parents: HashMap<u32, u32> = pids.filter_map(|pid| Some((pid, status(pid, "PPid:")?))).collect();
    let is_below_top = |mut pid: u32| loop {
        match parents.get(&pid) {
            _ if pid == top => return true,
            Some(&parent) if parent != pid => pid = parent,
            _ => return false,
        }
    };
    let mut ours = 0.0;
    for &pid in parents.keys().filter(|&&pid| is_below_top(pid)) {
        let (Some(kib), Ok(file)) = (status(pid, "VmHWM:"), fs::read_link(format!("/proc/{pid}/exe"))) else {
            continue;
        };
        let megabytes = f64::from(kib) * 1024.0 / 1e6;
        if file == program {
            ours += megabytes;
        } else if megabytes > peak.largest_tool.1 {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            peak.largest_tool = (name, megabytes);
        }
    }
    peak.ours = peak.ours.max(ours);
}

/// A number of `/proc/PID/status`; none when the process is gone.
fn status(pid: u32, field: &str) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}
