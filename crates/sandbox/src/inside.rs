//! Pid 1 of the sandbox: mounts, uploads, the command, and the reaping of whatever it leaves behind.

use std::fs::{self, File, OpenOptions};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::{Gid, Pid, Uid, setfsgid, setfsuid};

use crate::channel::{Report, receive, send};
use crate::mounts::{self, Trouble};
use crate::spec::{Entry, Exit, Program, Spec, Upload};
use crate::{confine, limits};

/// One of our own functions that can run inside a sandbox.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Name that [`Entry::Job`] uses.
    pub name: &'static str,
    /// The function: gets its input, returns its output or what went wrong.
    pub run: fn(&JobContext, &str) -> Result<String, String>,
}

/// What a job finds.
#[derive(Debug)]
pub struct JobContext {
    /// Where the overlay's merged view is mounted, when the sandbox has one.
    pub root: Option<PathBuf>,
}

/// Runs pid 1 to its end.
pub fn main(mut outer: UnixStream, spec: &Spec, trees: &[OwnedFd], jobs: &[Job]) -> i32 {
    let report = match run(&mut outer, spec, trees, jobs) {
        Ok(report) => report,
        Err(Trouble::Machine(why)) => Report::SetUpFailed(why),
        Err(Trouble::Image(why)) => Report::ImageUnfit(why),
    };
    i32::from(send(&mut outer, &report).is_err())
}

fn run(outer: &mut UnixStream, spec: &Spec, trees: &[OwnedFd], jobs: &[Job]) -> Result<Report, Trouble> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(text)?;
    // Only now may the outer process answer: had it died before, the next read would find the end of file.
    send(outer, &()).map_err(text)?;
    receive::<()>(outer).map_err(text)?;
    match &spec.entry {
        Entry::Job { name, input } => {
            let job =
                jobs.iter().find(|job| job.name == name).ok_or_else(|| format!("no job is called {name}"))?;
            let root = mounts::enter_for_job(spec, trees)?;
            confine::for_job(spec.may_mount)?;
            send(outer, &Report::Started).map_err(text)?;
            Ok(match (job.run)(&JobContext { root }, input) {
                Ok(output) => Report::Exited(Exit::Job(output)),
                Err(why) => Report::JobFailed(why),
            })
        }
        Entry::Program(program) => {
            let sources = mounts::enter_for_program(spec, trees)?;
            for (upload, source) in spec.uploads.iter().zip(sources) {
                if let Err(error) = write_upload(upload, source) {
                    return Ok(Report::UploadFailed(format!("{}: {error}", upload.path.display())));
                }
            }
            confine::for_program()?;
            let child = start(program, spec.interactive)?;
            send(outer, &Report::Started).map_err(text)?;
            Ok(reap_until(child).map(Report::Exited)?)
        }
    }
}

/// As the file's owner, as scp would: the kernel decides what that user may write, and what is there already keeps
/// its mode. Nothing else runs in the sandbox yet, so what is looked at is what is opened.
fn write_upload(upload: &Upload, mut source: File) -> std::io::Result<()> {
    // A pipe would wait for a reader, and a device is no place for a file.
    let there = fs::symlink_metadata(&upload.path).ok();
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        return Err(std::io::Error::other("what is there is no regular file"));
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(upload.mode).custom_flags(libc::O_NOFOLLOW);
    let mut file = open_as(upload.uid, upload.gid, &options, &upload.path)?;
    std::io::copy(&mut source, &mut file)?;
    if there.is_none() {
        // The mode it was made with went through the umask.
        file.set_permissions(fs::Permissions::from_mode(upload.mode))?;
    }
    Ok(())
}

/// Opens with the file rights of a user, who owns what is made. In a thread of its own: with a change of rights the
/// kernel forgets to end whoever made it with its parent (prctl(2), `PR_SET_PDEATHSIG`), and pid 1 has to end so.
fn open_as(uid: u32, gid: u32, options: &OpenOptions, path: &Path) -> std::io::Result<File> {
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| {
            setfsgid(Gid::from_raw(gid));
            setfsuid(Uid::from_raw(uid));
            options.open(path)
        });
        opening.join().unwrap_or_else(|_| Err(std::io::Error::other("the thread that opens it panicked")))
    })
}

fn start(program: &Program, interactive: bool) -> Result<Pid, Trouble> {
    let (name, arguments) = program.argv.split_first().ok_or_else(|| "no program to run".to_owned())?;
    let cwd = if program.cwd.is_dir() { program.cwd.as_path() } else { Path::new("/") };
    // The engine may have raised its own limit; a program gets what a fresh machine gives.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(text)?;
    setrlimit(Resource::RLIMIT_NOFILE, most.min(1024), most).map_err(text)?;
    limits::tasks_of_each_user()?;
    let mut command = Command::new(name);
    command.args(arguments).env_clear().envs(program.env.iter().cloned()).current_dir(cwd);
    command.uid(program.uid).gid(program.gid).stdin(Stdio::null());
    if interactive {
        let terminal = std::io::stderr().as_fd().try_clone_to_owned().map_err(text)?;
        command.stdin(Stdio::from(terminal));
    }
    let child =
        command.spawn().map_err(|error| Trouble::Image(format!("failed to start {name}: {error}")))?;
    Ok(i32::try_from(child.id()).map(Pid::from_raw).map_err(text)?)
}

/// Collects every process that ends until `child` does; the kernel ends the rest with pid 1.
fn reap_until(child: Pid) -> Result<Exit, String> {
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => return Ok(Exit::Code(code)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                return Ok(Exit::Signal(signal as i32));
            }
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(format!("failed to wait for the command: {error}")),
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
