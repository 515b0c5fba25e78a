//! The build user: an ordinary account with sudo and no password, made before the first customizer and removed
//! when the image is generalised (Packer's default name; AIB does not publish its own).

use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, Uid, chmodat, chownat};
use sandbox::{Job, JobContext};

use crate::network::BuildOnly;
use crate::rooted::{Rooted, RootedError};

/// Name of the account.
pub const NAME: &str = "packer";
/// Its user and group id, the first that Debian gives to people.
pub const ID: u32 = 1000;
/// Its home folder.
pub const HOME: &str = "/home/packer";
/// Its right to use sudo.
pub const SUDOERS: &str = "etc/sudoers.d/90-packer";

/// The function that adds the account to a merged root.
pub const JOB: Job = Job { name: "add-user", run: inside };

/// Part of every layer's key: what the environment of a step is made of.
pub fn fingerprint() -> String {
    format!("{NAME}:{ID}:{HOME}:{}:{:?}", sudoers(), environment())
}

/// What a command over SSH finds set, without a login shell.
pub fn environment() -> Vec<(String, String)> {
    [
        ("HOME", HOME),
        ("LOGNAME", NAME),
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/games"),
        ("SHELL", "/bin/bash"),
        ("USER", NAME),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn sudoers() -> String {
    let kept = BuildOnly::variable_names().join(" ");
    format!("Defaults env_keep += \"{kept}\"\n{NAME} ALL=(ALL) NOPASSWD:ALL\n")
}

fn inside(context: &JobContext, _: &str) -> Result<String, String> {
    let root = context.root.as_ref().ok_or("no root file system")?;
    add(root).map_err(|error| format!("failed to add the build user: {error}"))?;
    Ok(String::new())
}

/// The base may be anybody's, and its files links to somewhere else.
fn add(root: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let rooted = Rooted::open(root)?;
    let append = |name: &str, line: String| -> Result<(), RootedError> {
        let path = format!("/etc/{name}");
        let mut text = rooted.read(&path, 1 << 20)?.unwrap_or_default();
        text.extend((line + "\n").bytes());
        rooted.write(&path, &text, 0o644)
    };
    append("passwd", format!("{NAME}:x:{ID}:{ID}::{HOME}:/bin/bash"))?;
    append("group", format!("{NAME}:x:{ID}:"))?;
    append("shadow", format!("{NAME}:!:20000:0:99999:7:::"))?;
    append("gshadow", format!("{NAME}:!::"))?;
    let home = rooted.make_folders(Path::new(HOME))?;
    chmodat(&home, ".", Mode::from_raw_mode(0o700), AtFlags::empty())?;
    chownat(&home, ".", Some(Uid::from_raw(ID)), Some(Gid::from_raw(ID)), AtFlags::empty())?;
    rooted.write(&format!("/{SUDOERS}"), sudoers().as_bytes(), 0o440)?;
    Ok(())
}
