//! What customizers have put into `/etc/default/grub` and `/etc/default/grub.d`, as `grub-mkconfig` would read it: the
//! boot menu is written with the disk, and takes it along.

use std::path::PathBuf;
use std::time::Duration;

use sandbox::{Entry, Exit, Program, Spec};

use crate::customize::Stack;
use crate::error::{BuildError, Result};
use crate::event::Stream;
use crate::log::printable;
use crate::run::{Bounds, Context, Ended};
use crate::space::{SpaceGuard, USUAL_DISK};

/// `grub-mkconfig` reads these files in this order, as shell. Each is said before it is read.
const READ: &str = "set -e; for file in /etc/default/grub /etc/default/grub.d/*.cfg; do \
                    echo \"$file\"; test ! -f \"$file\" || . \"$file\"; done; \
                    echo $GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT";
/// How the names of these files begin.
const SETTINGS: &str = "/etc/default/grub";

/// What reading takes is milliseconds.
const TIME: Duration = Duration::from_secs(10);

/// Nobody's account, which may read the files and change nothing.
const NOBODY: u32 = 65534;

/// The kernel's arguments that customizers have added; empty when they have touched none of the files.
///
/// # Errors
/// When the files are no shell script that ends well, or name what cannot be put into a boot menu.
pub fn read(context: &Context<'_>, stack: &Stack) -> Result<String> {
    if !stack.customized(context.cache, &[SETTINGS, "/etc/default/grub.d"]) {
        return Ok(String::new());
    }
    let entry = Entry::Program(Program {
        argv: ["/bin/sh", "-c", READ].map(str::to_owned).to_vec(),
        env: vec![("PATH".into(), "/usr/sbin:/usr/bin:/sbin:/bin".into())],
        cwd: PathBuf::from("/"),
        uid: NOBODY,
        gid: NOBODY,
    });
    let scratch = context.work.overlay("boot-arguments")?;
    let overlay = context.volatile_overlay(&stack.lowers, &scratch);
    let why = format!("it did not end within {} s", TIME.as_secs());
    let space = Some(SpaceGuard::new(&[&scratch], USUAL_DISK));
    let spec = Spec { overlay: Some(overlay), ..Spec::new(context.id_map.clone(), entry) };
    let (mut arguments, mut complaint, mut current) = (String::new(), String::new(), SETTINGS.to_owned());
    let ended = context.drive(
        sandbox::spawn(&spec)?,
        Bounds { space, time: Some((TIME, why)) },
        |stream, line| match stream {
            Stream::Stdout => {
                if line.starts_with(SETTINGS) {
                    current = printable(line);
                }
                line.clone_into(&mut arguments);
            }
            Stream::Stderr => complaint = printable(line),
        },
    )?;
    let why = match ended {
        Ended::Exit(Exit::Code(0)) => return checked(arguments),
        Ended::Exit(_) => complaint,
        Ended::Stopped(why) => why,
    };
    Err(BuildError::Input {
        message: format!("{current}, as the customizers left it, cannot be read: {why}"),
        hint: Some("it is a shell script that update-grub reads too".to_owned()),
    })
}

/// The arguments stand unquoted in the menu, which is a script of its own.
fn checked(arguments: String) -> Result<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || " -_=.,:/+@%~".contains(c);
    match arguments.chars().find(|&c| !plain(c)) {
        None => Ok(arguments),
        Some(odd) => Err(BuildError::Input {
            message: format!(
                "GRUB_CMDLINE_LINUX has the character {odd:?}, which a boot menu cannot take as it is"
            ),
            hint: Some("set such an argument at the first boot, with update-grub".to_owned()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_cannot_leave_its_line_of_the_menu() {
        assert_eq!(checked("audit=1 apparmor=0".into()).expect("plain"), "audit=1 apparmor=0");
        for odd in ["x; reboot", "a\tb", "$(x)", "{", "'"] {
            assert!(matches!(checked(odd.into()), Err(BuildError::Input { .. })), "{odd}");
        }
    }
}
