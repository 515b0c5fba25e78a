//! The build user: an ordinary account with sudo and no password, made before the first customizer and removed
//! when the image is generalised (Packer's default name; AIB does not publish its own).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use sandbox::{Job, JobContext};

use crate::network::BuildOnly;

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

/// The base is our own and nothing else runs, so plain paths below the root are safe here.
fn inside(context: &JobContext, _: &str) -> Result<String, String> {
    let root = context.root.as_ref().ok_or("no root file system")?;
    add(root).map_err(|error| format!("failed to add the build user: {error}"))?;
    Ok(String::new())
}

fn add(root: &Path) -> std::io::Result<()> {
    let append = |name: &str, line: String| -> std::io::Result<()> {
        let path = root.join("etc").join(name);
        let text = fs::read_to_string(&path)?;
        fs::write(&path, text + &line + "\n")
    };
    append("passwd", format!("{NAME}:x:{ID}:{ID}::{HOME}:/bin/bash"))?;
    append("group", format!("{NAME}:x:{ID}:"))?;
    append("shadow", format!("{NAME}:!:20000:0:99999:7:::"))?;
    append("gshadow", format!("{NAME}:!::"))?;
    let home = root.join(HOME.trim_start_matches('/'));
    fs::create_dir_all(&home)?;
    fs::set_permissions(&home, fs::Permissions::from_mode(0o700))?;
    chown(&home, Some(ID), Some(ID))?;
    let sudoers_path = root.join(SUDOERS);
    fs::write(&sudoers_path, sudoers())?;
    fs::set_permissions(&sudoers_path, fs::Permissions::from_mode(0o440))
}
