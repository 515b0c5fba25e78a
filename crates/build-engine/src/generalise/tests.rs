use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::*;

/// An image in a temporary folder, beside a sentinel that must never change.
struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(machine.folder.path().join("root")).unwrap();
        for (path, content) in files {
            machine.put(path, content);
        }
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("root").join(path.trim_start_matches('/'))
    }

    fn put(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    fn generalise(&self) -> Vec<String> {
        let root = Rooted::open(&self.path("/")).unwrap();
        apply(&root, &plan(&root, &["packer"]).unwrap()).unwrap()
    }
}

/// Paths, contents and modes below a folder, links unfollowed.
fn picture(folder: &Path) -> Vec<String> {
    let mut out = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let content = if meta.is_file() { fs::read_to_string(&path).unwrap() } else { String::new() };
            out.push(format!("{} {:o} {content:?}", path.display(), meta.mode()));
            if meta.is_dir() {
                folders.push(path);
            }
        }
    }
    out.sort();
    out
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nalice:x:1001:1001::/home/alice:/bin/bash\n\
                      packer:x:1000:1000::/home/packer:/bin/bash\n";

#[test]
fn an_image_keeps_no_identity_secret_or_trace() {
    let machine = Machine::new(&[
        ("/etc/passwd", PASSWD),
        ("/etc/shadow", "root:$y$secret:1::\nalice:$y$a:1::\npacker:!:1::\n"),
        ("/etc/group", "sudo:x:27:packer,alice\npacker:x:1000:\n"),
        ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("/var/lib/dbus/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("/etc/ssh/ssh_host_rsa_key", "secret"),
        ("/etc/ssh/ssh_host_rsa_key.pub", "public"),
        ("/etc/ssh/sshd_config.d/10-image.conf", "MaxAuthTries 6"),
        ("/etc/resolv.conf", "nameserver 192.0.2.1"),
        ("/etc/hostname", "builder"),
        ("/etc/sudoers.d/90-packer", "packer ALL=(ALL) NOPASSWD:ALL"),
        ("/var/lib/cloud/instance/id", "x"),
        ("/var/log/dpkg.log", "much"),
        ("/var/log/apt/history.log.1.gz", "much"),
        ("/var/log/journal/0123/system.journal", "much"),
        ("/root/.bash_history", "export TOKEN=secret"),
        ("/home/alice/.bash_history", "ls"),
        ("/home/alice/notes", "keep"),
        ("/home/packer/.config/x/token", "secret"),
        ("/tmp/script_1.sh", "x"),
        ("/var/lib/apt/lists/partial/x", "x"),
        ("/var/cache/apt/archives/jq.deb", "x"),
        ("/var/lib/dpkg/status-old", "x"),
        ("/var/lib/dpkg/status", "keep"),
    ]);
    fs::set_permissions(machine.path("/etc/shadow"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(machine.path("/tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(machine.path("/var/lib/apt/lists/partial"), fs::Permissions::from_mode(0o700))
        .unwrap();

    let lines = machine.generalise();

    assert!(
        lines.iter().any(|line| line == "removed the account packer: 3 entries (the build's own account)"),
        "{lines:#?}"
    );
    assert_eq!(machine.text("/etc/machine-id").unwrap(), "", "present but empty");
    assert_eq!(machine.text("/etc/hostname").unwrap(), "localhost.localdomain\n");
    assert_eq!(machine.text("/etc/shadow").unwrap(), "root:*:1::\nalice:$y$a:1::\n");
    assert_eq!(machine.text("/etc/group").unwrap(), "sudo:x:27:alice\n");
    assert_eq!(machine.text("/var/log/dpkg.log").unwrap(), "");
    for kept in ["/etc/ssh/sshd_config.d/10-image.conf", "/home/alice/notes", "/var/lib/dpkg/status"] {
        assert!(machine.text(kept).is_some_and(|text| !text.is_empty()), "{kept}");
    }
    let mode = |path| fs::metadata(machine.path(path)).unwrap().mode() & 0o7777;
    assert_eq!(
        (mode("/etc/shadow"), mode("/tmp")),
        (0o640, 0o1777),
        "replaced files and emptied folders keep modes"
    );
    assert_eq!(mode("/var/lib/apt/lists/partial"), 0o700);
    let all = picture(&machine.path("/")).join("\n");
    for trace in [
        "secret",
        "0123456789abcdef",
        "much",
        "packer",
        "192.0.2.1",
        "script_1",
        "jq.deb",
        "status-old",
        "_history",
    ] {
        assert!(!all.contains(trace), "{trace} is still there:\n{all}");
    }
    assert_eq!(machine.generalise(), Vec::<String>::new(), "a second time finds nothing to do");
}

#[test]
fn links_out_of_the_image_lead_nowhere() {
    let machine = Machine::new(&[("/etc/passwd", PASSWD), ("/keep/me", "inside")]);
    let outside = machine.folder.path().join("outside");
    for path in
        ["etc/ssh/ssh_host_rsa_key", "log/x.log", "tmp/x", "home/.bash_history", "shadow", "lib/cloud/x"]
    {
        let path = outside.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "root:$y$outside:1::\n").unwrap();
    }
    let link = |target: &Path, path: &str| {
        fs::create_dir_all(machine.path(path).parent().unwrap()).unwrap();
        symlink(target, machine.path(path)).unwrap();
    };
    link(&outside.join("etc/ssh"), "/etc/ssh");
    link(&outside.join("log"), "/var/log");
    link(Path::new("../../outside/tmp"), "/tmp");
    link(&outside.join("home"), "/root");
    link(&outside.join("home"), "/home/packer");
    link(&outside.join("shadow"), "/etc/shadow");
    link(&outside.join("shadow"), "/etc/hostname");
    link(&outside.join("shadow"), "/etc/machine-id");
    link(&outside.join("lib"), "/var/lib");
    link(&outside.join("tmp"), "/var/tmp/inner");
    let before = picture(&outside);

    let lines = machine.generalise();

    assert_eq!(picture(&outside), before);
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("left /etc/ssh alone: a symbolic link stands where a folder")),
        "what was not cleaned is said: {lines:#?}"
    );
    assert!(!machine.path("/var/tmp/inner").is_symlink(), "the link itself goes, not what it names");
    assert!(!machine.path("/home/packer").is_symlink());
}

#[test]
fn an_image_whose_etc_is_a_link_to_the_hosts_root_changes_nothing_there() {
    let machine = Machine::new(&[("/tmp/x", "x")]);
    let outside = machine.folder.path().join("outside");
    fs::create_dir_all(outside.join("ssh")).unwrap();
    fs::write(outside.join("ssh/ssh_host_rsa_key"), "x").unwrap();
    fs::write(outside.join("passwd"), PASSWD).unwrap();
    symlink(&outside, machine.path("/etc")).unwrap();
    let before = picture(&outside);
    machine.generalise();
    assert_eq!(picture(&outside), before);
    assert_eq!(machine.text("/tmp/x"), None, "the rest is cleaned all the same");
}

#[test]
fn a_second_name_of_a_file_cannot_be_used_to_empty_it() {
    let machine = Machine::new(&[("/etc/passwd", PASSWD), ("/usr/bin/tool", "keep"), ("/var/log/x", "")]);
    fs::hard_link(machine.path("/usr/bin/tool"), machine.path("/var/log/tool.log")).unwrap();
    fs::hard_link(machine.path("/usr/bin/tool"), machine.path("/etc/machine-id")).unwrap();
    machine.generalise();
    assert_eq!(machine.text("/usr/bin/tool").unwrap(), "keep");
    assert_eq!(machine.text("/etc/machine-id").unwrap(), "");
}

#[test]
fn a_pipe_among_the_logs_does_not_block() {
    let machine = Machine::new(&[("/var/log/x", "much")]);
    let path = machine.path("/var/log/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    machine.generalise();
    assert_eq!(machine.text("/var/log/x").unwrap(), "");
}

#[test]
fn folders_nested_without_end_are_an_error_not_a_crash() {
    let machine = Machine::new(&[]);
    let deep: String = (0..600).map(|_| "d/").collect();
    fs::create_dir_all(machine.path(&format!("/tmp/{deep}"))).unwrap();
    let root = Rooted::open(&machine.path("/")).unwrap();
    let error = apply(&root, &plan(&root, &[]).unwrap()).unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("256 deep"), "{error}");
}

#[test]
fn rotated_logs_are_known_by_their_names() {
    for name in ["syslog.1", "dpkg.log.2.gz", "cron-20260101", "Xorg.0.log.old", "x.zst"] {
        assert!(is_rotated(OsStr::new(name)), "{name}");
    }
    for name in ["syslog", "dpkg.log", "btmp", "history-2", "README", "."] {
        assert!(!is_rotated(OsStr::new(name)), "{name}");
    }
}

#[test]
fn what_the_authors_own_script_leaves_stays_and_identities_in_it_are_named() {
    let files = [
        ("/etc/passwd", "root:x:0:0::/root:/bin/bash\npacker:x:1000:1000::/home/packer:/bin/bash\n"),
        ("/etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("/etc/ssh/ssh_host_rsa_key", "secret"),
        ("/home/packer/notes", "x"),
        ("/var/log/syslog", "line\n"),
        ("/tmp/DeprovisioningScript.sh", "true\n"),
    ];
    let machine = Machine::new(&files);
    let root = Rooted::open(&machine.path("/")).unwrap();
    assert_eq!(identities_left(&root).unwrap(), ["SSH host keys", "a machine id"]);
    apply(&root, &plan_own(&root, &["packer"]).unwrap()).unwrap();
    assert_eq!(machine.text("/etc/passwd").as_deref(), Some("root:x:0:0::/root:/bin/bash\n"));
    for gone in ["/home/packer", "/tmp/DeprovisioningScript.sh"] {
        assert!(!machine.path(gone).exists(), "{gone}");
    }
    for (path, content) in &files[1..3] {
        assert_eq!(machine.text(path).as_deref(), Some(*content), "{path}");
    }
    assert_eq!(machine.text("/var/log/syslog").as_deref(), Some("line\n"));
    machine.generalise();
    assert_eq!(identities_left(&root).unwrap(), [""; 0]);
}
