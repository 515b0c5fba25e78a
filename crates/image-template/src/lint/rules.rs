//! The rules. Each looks at commands as they are written; none of them is ever certain.

use super::shell::{Command, commands};

/// How deeply scripts inside `sh -c '...'` are followed.
pub(super) const MAX_DEPTH: usize = 4;

/// Takes a finding: offset, code, message, hint.
pub(super) type Report<'a> = dyn FnMut(usize, &'static str, String, &'static str) + 'a;

const SHELLS: [&str; 5] = ["sh", "bash", "dash", "zsh", "ksh"];
const INTERPRETERS: [&str; 4] = ["python", "python3", "perl", "node"];
const DOWNLOADERS: [&str; 2] = ["curl", "wget"];

pub(super) fn check(text: &str, depth: usize, report: &mut Report<'_>) {
    let all = commands(text);
    let pipefail = all.iter().any(|command| {
        call(command)
            .is_some_and(|call| call.program == "set" && call.args.iter().any(|arg| arg == "pipefail"))
    });
    for pipeline in all.split_inclusive(|command| !command.piped) {
        if !pipefail {
            pipe_to_shell(pipeline, report);
        }
        ssh_settings(pipeline, report);
        for (index, command) in pipeline.iter().enumerate() {
            let Some(call) = call(command) else { continue };
            let answered = index > 0 && answers(&pipeline[index - 1]);
            if !answered {
                asks(&call, report);
            }
            downloaded_script(&call, report);
            restart(&call, report);
            firewall(&call, report);
            ssh_service(&call, report);
            deletes_tmp(&call, report);
            if depth < MAX_DEPTH
                && let Some(inner) = inner_script(&call)
            {
                check(&inner, depth + 1, &mut |_, code, message, hint| {
                    report(call.offset, code, message, hint);
                });
            }
        }
    }
}

/// A program and its arguments, behind `sudo`, `env` and the like.
pub(super) struct Call<'a> {
    pub program: &'a str,
    /// The program as it is written, with its folder.
    pub path: &'a str,
    pub args: &'a [String],
    pub offset: usize,
}

impl Call<'_> {
    /// The first argument that is not an option.
    pub fn verb(&self) -> Option<&str> {
        self.args.iter().map(String::as_str).find(|arg| !arg.starts_with('-'))
    }

    pub fn has(&self, wanted: &[&str]) -> bool {
        self.args.iter().any(|arg| wanted.contains(&arg.as_str()))
    }

    /// Whether a short option is given, alone or among others, as `r` in `-rf`.
    pub fn has_short(&self, letter: char) -> bool {
        self.args.iter().any(|arg| arg.starts_with('-') && !arg.starts_with("--") && arg.contains(letter))
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// Looks behind keywords, assignments and programs that run another one.
pub(super) fn call(command: &Command) -> Option<Call<'_>> {
    const KEYWORDS: [&str; 10] = ["if", "then", "else", "elif", "while", "until", "do", "{", "!", "time"];
    let mut words = command.words.as_slice();
    loop {
        let (first, rest) = words.split_first()?;
        if KEYWORDS.contains(&first.as_str()) || is_assignment(first) {
            words = rest;
            continue;
        }
        let program = first.rsplit('/').next().unwrap_or(first);
        // Options of the wrapper that take a value, and words after the options that are its own.
        let (with_value, own) = match program {
            "sudo" => ("ugphCDRTUrt", 0),
            "env" => ("uCS", 0),
            "nohup" | "exec" | "command" | "builtin" | "eatmydata" => ("a", 0),
            "nice" => ("n", 0),
            "ionice" => ("cnp", 0),
            "timeout" => ("ks", 1),
            "xargs" => ("adEILnPs", 0),
            _ => return Some(Call { program, path: first, args: rest, offset: command.offset }),
        };
        words = skip_options(rest, with_value);
        words = words.get(own..)?;
    }
}

fn skip_options<'a>(mut words: &'a [String], with_value: &str) -> &'a [String] {
    while let Some((first, rest)) = words.split_first() {
        if first == "--" {
            return rest;
        }
        if !first.starts_with('-') || first.len() < 2 {
            break;
        }
        let takes_value =
            first.len() == 2 && first.chars().nth(1).is_some_and(|letter| with_value.contains(letter));
        words = if takes_value { rest.get(1..).unwrap_or_default() } else { rest };
    }
    words
}

/// The script that `sh -c`, `su -c` or `eval` runs.
pub(super) fn inner_script(call: &Call<'_>) -> Option<String> {
    if call.program == "eval" {
        return Some(call.args.join(" "));
    }
    if !SHELLS.contains(&call.program) && call.program != "su" {
        return None;
    }
    let option = call
        .args
        .iter()
        .position(|arg| arg.starts_with('-') && !arg.starts_with("--") && arg.ends_with('c'))?;
    call.args.get(option + 1).cloned()
}

fn pipe_to_shell(pipeline: &[Command], report: &mut Report<'_>) {
    let calls: Vec<_> = pipeline.iter().filter_map(call).collect();
    let Some(from) = calls.iter().position(|call| DOWNLOADERS.contains(&call.program)) else { return };
    let runs = |call: &&Call<'_>| SHELLS.contains(&call.program) || INTERPRETERS.contains(&call.program);
    if let Some(into) = calls[from + 1..].iter().find(runs) {
        let message = format!(
            "when `{}` fails, `{}` gets an empty script and succeeds: the step goes on as if nothing had happened",
            calls[from].program, into.program
        );
        report(calls[from].offset, "pipe-to-shell", message, DOWNLOAD_FIRST);
    }
}

const DOWNLOAD_FIRST: &str =
    "download to a file first, check it, then run it; or use `scriptUri` with `sha256Checksum`";

/// `sh -c "$(curl ...)"` and `bash <(curl ...)` hide a failed download as a pipe does.
fn downloaded_script(call: &Call<'_>, report: &mut Report<'_>) {
    if !SHELLS.contains(&call.program) && !matches!(call.program, "eval" | "source" | ".") {
        return;
    }
    let downloads = |arg: &String| {
        ["$(", "`", "<("].iter().filter_map(|open| arg.strip_prefix(open)).any(|inner| {
            inner.split_whitespace().next().is_some_and(|program| DOWNLOADERS.contains(&program))
        })
    };
    if call.args.iter().any(downloads) {
        let message =
            format!("when the download fails, `{}` runs an empty script and succeeds", call.program);
        report(call.offset, "pipe-to-shell", message, DOWNLOAD_FIRST);
    }
}

/// Whether a command answers the questions of the next one.
fn answers(command: &Command) -> bool {
    call(command).is_some_and(|call| {
        call.program == "yes"
            || matches!(call.program, "echo" | "printf")
                && call.args.iter().any(|arg| arg.to_ascii_lowercase().starts_with('y'))
    })
}

/// Package managers that ask before they change anything.
fn asks(call: &Call<'_>, report: &mut Report<'_>) {
    const APT: [&str; 10] = [
        "install",
        "upgrade",
        "dist-upgrade",
        "full-upgrade",
        "remove",
        "purge",
        "autoremove",
        "autopurge",
        "build-dep",
        "reinstall",
    ];
    const RPM: [&str; 8] =
        ["install", "update", "upgrade", "remove", "erase", "autoremove", "reinstall", "groupinstall"];
    let (verbs, with_value): (&[&str], _) = match call.program {
        "apt" | "apt-get" | "aptitude" => (&APT, "oct"),
        "dnf" | "yum" | "tdnf" | "microdnf" => (&RPM, "c"),
        _ => return,
    };
    let Some(verb) =
        skip_options(call.args, with_value).first().filter(|verb| verbs.contains(&verb.as_str()))
    else {
        return;
    };
    if !call.args.iter().any(|arg| says_yes(arg)) {
        let message =
            format!("`{} {verb}` asks before it goes on, and no one is there to answer", call.program);
        report(call.offset, "package-manager-asks", message, "add `-y`");
    }
}

/// `-y` in any spelling, what makes it needless, or a variable that may hold it.
fn says_yes(arg: &str) -> bool {
    let lower = arg.to_ascii_lowercase();
    if let Some(variable) = lower.strip_prefix('$') {
        return ["opt", "flag", "arg", "yes"].iter().any(|part| variable.contains(part));
    }
    let long =
        ["--yes", "--assume-yes", "--assumeyes", "--simulate", "--dry-run", "--just-print", "--assumeno"];
    let option =
        lower.split_once("assume-yes=").is_some_and(|(_, value)| !matches!(value, "false" | "no" | "0"));
    if option || long.contains(&lower.as_str()) {
        return true;
    }
    // `-qq` implies `-y`. Options with a value, such as `-t`, are no clusters.
    let cluster = arg.strip_prefix('-').filter(|rest| !rest.starts_with(['-', 'o', 't', 'c']));
    cluster.is_some_and(|letters| {
        letters.bytes().all(|byte| byte.is_ascii_alphabetic())
            && (letters.contains(['y', 's']) || letters.matches('q').count() > 1)
    })
}

fn restart(call: &Call<'_>, report: &mut Report<'_>) {
    let restarts = match call.program {
        "reboot" | "poweroff" | "halt" => true,
        "shutdown" => !call.has(&["-c", "--help"]),
        "init" | "telinit" => call.has(&["0", "6"]),
        "systemctl" => {
            matches!(call.verb(), Some("reboot" | "poweroff" | "halt" | "kexec" | "soft-reboot" | "rescue"))
        }
        _ => false,
    };
    if restarts {
        let message = format!(
            "`{}` ends the connection, and the step fails: on Linux a build cannot restart",
            call.program
        );
        report(call.offset, "restart", message, "leave it out; a VM made from the image boots afresh");
    }
}

fn firewall(call: &Call<'_>, report: &mut Report<'_>) {
    const UNITS: [&str; 4] = ["ufw", "firewalld", "nftables", "iptables"];
    let changes = match call.program {
        "ufw" => !matches!(call.verb(), None | Some("status" | "version" | "show" | "app")),
        "iptables" | "ip6tables" | "iptables-legacy" | "iptables-nft" => {
            !call.has(&["-L", "-S", "-C", "-V", "--list", "--list-rules", "--check", "--version"])
        }
        "iptables-restore" | "ip6tables-restore" | "iptables-apply" => true,
        "nft" => {
            call.has_short('f')
                || call.has(&["--file"])
                || !matches!(call.verb(), None | Some("list" | "describe" | "monitor"))
        }
        "firewall-cmd" => !call.args.iter().all(|arg| {
            ["--state", "--list", "--get", "--query", "--info"].iter().any(|read| arg.starts_with(read))
        }),
        "systemctl" => {
            matches!(call.verb(), Some("enable" | "start" | "restart" | "reload" | "unmask"))
                && call.args.iter().any(|arg| UNITS.contains(&arg.trim_end_matches(".service")))
        }
        _ => false,
    };
    if changes {
        let message = format!(
            "`{}` changes the firewall, and may shut out the build that comes in over SSH",
            call.program
        );
        let hint = "keep port 22 open, or make the change at the first boot of the VMs (cloud-init)";
        report(call.offset, "firewall-change", message, hint);
    }
}

const SSH_HINT: &str = "leave the running daemon alone; settings take effect when a VM boots";

fn ssh_service(call: &Call<'_>, report: &mut Report<'_>) {
    const ACTIONS: [&str; 9] = [
        "restart",
        "stop",
        "reload",
        "disable",
        "mask",
        "kill",
        "try-restart",
        "reload-or-restart",
        "force-reload",
    ];
    let is_ssh =
        |word: &str| matches!(word.trim_end_matches(".service").trim_end_matches(".socket"), "ssh" | "sshd");
    let has_ssh = call.args.iter().any(|arg| is_ssh(arg));
    let acts = call.has(&ACTIONS);
    let touches = match call.program {
        "systemctl" | "service" | "invoke-rc.d" => has_ssh && acts,
        "ssh" | "sshd" => call.path.contains("/init.d/") && acts,
        "pkill" | "killall" => has_ssh,
        "apt" | "apt-get" => {
            call.has(&["openssh-server"]) && matches!(call.verb(), Some("remove" | "purge" | "autoremove"))
        }
        _ => false,
    };
    if touches {
        let message = format!("`{}` acts on the SSH daemon that the build comes in through", call.program);
        report(call.offset, "ssh-lockout", message, SSH_HINT);
    }
}

/// Settings of the SSH daemon that keep the build out: it logs in with a key, as a user of its own, on port 22.
fn ssh_settings(pipeline: &[Command], report: &mut Report<'_>) {
    const SETTINGS: [&str; 8] = [
        "port",
        "listenaddress",
        "allowusers",
        "allowgroups",
        "denyusers",
        "denygroups",
        "pubkeyauthentication no",
        "authenticationmethods",
    ];
    let texts = |command: &Command| -> Vec<String> {
        let here = command.here.lines().map(str::to_owned);
        command.words.iter().chain(&command.outputs).cloned().chain(here).collect()
    };
    let Some(first) = pipeline.first() else { return };
    let all: Vec<String> = pipeline.iter().flat_map(texts).collect();
    if !all.iter().any(|text| text.contains("/etc/ssh/sshd_config")) {
        return;
    }
    // A setting follows the start of a line, or the delimiter of a sed expression.
    let lower: Vec<_> = all.iter().map(|text| text.to_ascii_lowercase()).collect();
    let starts = |text: &str| {
        text.split(['\n', '/', '|', ',']).chain(text.split("\\n")).any(|part| {
            let part = part.trim_start();
            SETTINGS.iter().any(|setting| {
                part.strip_prefix(setting)
                    .is_some_and(|rest| rest.is_empty() && setting.contains(' ') || rest.starts_with(' '))
            })
        })
    };
    if lower.iter().any(|text| starts(text)) {
        let message = "this setting of the SSH daemon may keep out the build, which logs in with a key, as a user of its own, on port 22".to_owned();
        report(
            first.offset,
            "ssh-lockout",
            message,
            "make the change at the first boot of the VMs (cloud-init)",
        );
    }
}

fn deletes_tmp(call: &Call<'_>, report: &mut Report<'_>) {
    let is_tmp = |arg: &str| {
        let bare = arg.trim_end_matches('*').trim_end_matches("/.").trim_end_matches('/');
        bare == "/tmp" && !arg.contains("/tmp*")
    };
    let named = call.args.iter().any(|arg| is_tmp(arg));
    let deletes = match call.program {
        "rm" => named && (call.has_short('r') || call.has_short('R') || call.has(&["--recursive"])),
        "rmdir" | "mv" | "mount" | "umount" => named,
        "find" => named && call.has(&["-delete", "rm"]),
        _ => false,
    };
    if deletes {
        let message = format!(
            "`{}` takes away `/tmp`, where the service keeps the scripts and files of the build",
            call.program
        );
        report(call.offset, "deletes-tmp", message, "remove only what the step itself put there");
    }
}
