//! A program on a terminal of its own, at which someone types.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A program and the other side of its terminal.
pub struct Terminal {
    child: Child,
    keys_and_screen: File,
    seen: String,
}

impl Terminal {
    /// Starts the program with a terminal that it controls (`setsid(1)`), as a login gives it.
    pub fn start(command: &Command) -> Self {
        let ours =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("its other side");
        let name = ptsname(&ours, Vec::new()).expect("its name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = File::from(rustix::fs::open(&name, flags, Mode::empty()).expect("opened"));
        let stream = || Stdio::from(theirs.try_clone().expect("a descriptor"));
        let mut session = Command::new("setsid");
        session.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args()).env_clear();
        session.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        session.current_dir(command.get_current_dir().expect("a folder"));
        session.stdin(stream()).stdout(stream()).stderr(stream());
        let child = session.spawn().expect("setsid");
        Self { child, keys_and_screen: File::from(ours), seen: String::new() }
    }

    /// Waits until the screen has shown a text.
    pub fn until(&mut self, text: &str) {
        while !self.seen.contains(text) {
            assert!(self.read(), "the program ended before it showed {text:?}:\n{}", self.seen);
        }
    }

    /// Presses keys; the end of a line is one of them, and `\u{3}` is Ctrl-C.
    pub fn press(&mut self, keys: &str) {
        self.keys_and_screen.write_all(keys.as_bytes()).expect("typed");
    }

    /// Waits for the end; everything that was shown, and the exit code.
    pub fn end(mut self) -> (String, Option<i32>) {
        while self.read() {}
        (self.seen, self.child.wait().expect("waited for").code())
    }

    /// Whether there was something to read: a terminal that nobody has open any more is an error (`EIO`).
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        let length = self.keys_and_screen.read(&mut bytes).unwrap_or_default();
        self.seen.push_str(&String::from_utf8_lossy(&bytes[..length]));
        length > 0
    }
}
