//! What a hostile step may try as root inside, and what it finds on the host afterwards: nothing changed.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sandbox::{Entry, Exit, IdMap, Overlay, Spec, Upload};

use crate::{TestResult, World, descendants, id_map, run};

const ATTACKS: &str = include_str!("attacks.pl");
/// The capabilities of `confine.rs`, as `/proc/self/status` shows them.
const POWERS: &str = "CapBnd:\t00000000a00405fb\n";
/// The same and `SYS_ADMIN`.
const POWERS_TO_MOUNT: &str = "CapBnd:\t00000000a02405fb\n";

/// Both maps, because the fallback must hold, too.
fn id_maps() -> [IdMap; 2] {
    [id_map(), IdMap::Identity]
}

/// `/proc` stands for every file system that does not know such mounts.
pub fn fallback() -> TestResult {
    let choice = IdMap::choose(&[&std::env::temp_dir(), Path::new("/proc")])?;
    assert_eq!(choice.id_map, IdMap::Identity);
    let why = choice.fallback.ok_or("no reason")?;
    assert!(why.contains("/proc cannot be seen with other ids"), "{why}");
    Ok(())
}

pub fn root_is_nobody() -> TestResult {
    let world = World::new();
    let mut running =
        sandbox::spawn(&world.shell("touch /etc/made; chown 5:7 /etc/made; echo ready; sleep 1000"))?;
    running.take_stdout().ok_or("no output")?.read_exact(&mut [0; 6])?;
    let IdMap::Shifted(range) = id_map() else {
        eprintln!("SKIPPED: this kernel or file system has no id-mapped mounts");
        return Ok(());
    };
    for process in descendants(running.id()) {
        let status = fs::metadata(format!("/proc/{process}/status"))?;
        let real = fs::read_to_string(format!("/proc/{process}/status"))?;
        let ids = real.lines().find(|line| line.starts_with("Uid:")).ok_or("no ids")?.to_owned();
        let expected = format!("Uid:\t{0}\t{0}\t{0}\t{0}", range.start);
        assert_eq!(ids, expected, "process {process}, whose files belong to {}", status.uid());
    }
    let taken = fs::read_to_string("/etc/passwd")? + &fs::read_to_string("/etc/subuid").unwrap_or_default();
    assert!(!taken.contains(&format!(":{}:", range.start)), "{range:?} is somebody's");
    let made = fs::metadata(world.path("scratch/upper/etc/made"))?;
    assert_eq!((made.uid(), made.gid()), (5, 7), "on disk, ids are plain");
    Ok(())
}

pub fn attacks_are_refused() -> TestResult {
    if !cfg!(target_arch = "x86_64") {
        eprintln!("SKIPPED: the attacks use the system call numbers of x86-64");
        return Ok(());
    }
    for id_map in id_maps() {
        let world = World::new();
        fs::write(world.path("attacks.pl"), ATTACKS).unwrap();
        let before = Host::now(&world);
        let script = format!(
            "perl /tmp/attacks.pl {} {}; grep CapBnd /proc/self/status",
            std::process::id(),
            world.path("base/etc/base").display()
        );
        let mut spec = Spec { id_map: id_map.clone(), network: true, ..world.shell(&script) };
        let source = world.path("attacks.pl");
        spec.uploads.push(Upload { path: "/tmp/attacks.pl".into(), source, mode: 0o644, uid: 0, gid: 0 });
        let (exit, done) = run(&spec)?;
        assert_eq!((exit, done.as_str()), (Exit::Code(0), POWERS), "{id_map:?}: what was not refused");
        assert_eq!(Host::now(&world), before, "{id_map:?}");
        the_layer_shows_what_it_did(&world, &id_map)?;
    }
    Ok(())
}

/// What `attacks.pl` says as a program of the host, started by a job; a second word is for one that may mount.
pub fn attack_as_job(input: &str) -> Result<String, String> {
    let mut words = input.split(' ');
    let script = words.next().ok_or("no script")?;
    let mut perl = std::process::Command::new("perl");
    perl.args([script, "1000000000", "/nowhere"]).args(words);
    // As mmdebstrap does for the scripts of packages.
    let mount = "mkdir /tmp/proc && mount -t proc -o ro proc /tmp/proc && echo mounts /proc";
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", mount]);
    let mut said = String::new();
    for command in [&mut perl, &mut shell] {
        let output = command.output().map_err(|error| error.to_string())?;
        said += &String::from_utf8_lossy(&output.stdout);
    }
    let powers = fs::read_to_string("/proc/self/status").map_err(|error| error.to_string())?;
    Ok(said + powers.lines().find(|line| line.starts_with("CapBnd:")).unwrap_or_default() + "\n")
}

pub fn attacks_as_job() -> TestResult {
    if !cfg!(target_arch = "x86_64") {
        eprintln!("SKIPPED: the attacks use the system call numbers of x86-64");
        return Ok(());
    }
    let plain = format!("mknod 0:0\n{POWERS}");
    let mounts = format!("mknod 0:0\nmounts /proc\n{POWERS_TO_MOUNT}");
    for (id_map, may_mount) in id_maps().into_iter().flat_map(|map| [(map.clone(), false), (map, true)]) {
        let world = World::new();
        fs::create_dir(world.path("given"))?;
        let script = world.path("given/attacks.pl");
        fs::write(&script, ATTACKS)?;
        let before = Host::now(&world);
        let input = format!("{}{}", script.display(), if may_mount { " mounts" } else { "" });
        let entry = Entry::Job { name: "attack".into(), input };
        let folders = vec![world.path("given")];
        let spec = Spec { folders, network: true, may_mount, ..Spec::new(id_map.clone(), entry) };
        let Exit::Job(done) = run(&spec)?.0 else { return Err("no output".into()) };
        // The first is the mark of an overlay.
        assert_eq!(&done, if may_mount { &mounts } else { &plain }, "{id_map:?}");
        assert_eq!(Host::now(&world), before, "{id_map:?}");
    }
    Ok(())
}

/// The layer of the attacks, below another one: forged marks hide nothing and show nothing else.
fn the_layer_shows_what_it_did(world: &World, id_map: &IdMap) -> TestResult {
    for name in ["upper", "work"] {
        fs::create_dir_all(world.path("next").join(name))?;
    }
    let script =
        "cat /etc/base; echo; ls -A /tmp/moved /tmp/opaque /tmp/redirect /tmp/whiteout /tmp/metacopy";
    let spec = Spec {
        id_map: id_map.clone(),
        overlay: Some(Overlay {
            store: world.path(""),
            lowers: vec!["scratch/upper".into(), "base".into()],
            scratch: world.path("next"),
            volatile: false,
        }),
        ..world.shell(script)
    };
    let expected = "from the base\n/tmp/metacopy:\nfile\n\n/tmp/moved:\n\n/tmp/opaque:\nfile\n\n/tmp/redirect:\nfile\n\n\
                    /tmp/whiteout:\nfile\n";
    assert_eq!(run(&spec)?.1, expected);
    Ok(())
}

/// What a sandbox must leave as it was.
#[derive(Debug, PartialEq)]
struct Host {
    mounts: Vec<String>,
    settings: BTreeMap<&'static str, String>,
    keys: String,
    groups: String,
    files: Vec<(String, u64, u32)>,
    children: Vec<u32>,
}

impl Host {
    fn now(world: &World) -> Self {
        const SETTINGS: [&str; 7] = [
            "kernel/core_pattern",
            "kernel/modprobe",
            "kernel/hostname",
            "kernel/sysrq",
            "kernel/randomize_va_space",
            "net/ipv4/ip_forward",
            "net/ipv4/ping_group_range",
        ];
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let own = world.path("").display().to_string();
        let ours = |line: &&str| line.contains(own.trim_end_matches('/')) || line.contains("aks-jumpbox");
        let mut files = Vec::new();
        list(&world.path("base"), &mut files);
        Self {
            mounts: read(Path::new("/proc/self/mountinfo")).lines().filter(ours).map(str::to_owned).collect(),
            settings: SETTINGS.map(|name| (name, read(&Path::new("/proc/sys").join(name)))).into(),
            keys: read(Path::new("/proc/key-users"))
                .lines()
                .filter(|line| line.trim().starts_with("0:"))
                .collect(),
            groups: read(Path::new("/proc/self/cgroup")),
            files,
            children: descendants(std::process::id()),
        }
    }
}

fn list(folder: &Path, into: &mut Vec<(String, u64, u32)>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let meta = entry.metadata().unwrap();
        into.push((entry.path().display().to_string(), meta.len(), meta.mode()));
        if meta.is_dir() {
            list(&entry.path(), into);
        }
    }
    into.sort();
}

/// A layer made under one map is the same under another: owners, modes, capabilities of files.
pub fn layers_are_interchangeable() -> TestResult {
    const MAKE: &str = "perl -e 'open(F, q(>), q(/etc/tool)); chown 42, 43, q(/etc/tool); chmod 02755, q(/etc/tool); \
        ($f, $n, $v) = (qq(/etc/tool\\0), qq(security.capability\\0), pack(q(V5), 0x02000001, 1 << 13, 0, 0, 0)); \
        syscall(188, $f, $n, $v, 20, 0) == 0 or die $!'";
    const LOOK: &str = "perl -e '@s = stat(q(/etc/tool)); \
        ($f, $n, $v) = (qq(/etc/tool\\0), qq(security.capability\\0), q(.) x 64); $l = syscall(191, $f, $n, $v, 64); \
        printf(qq(%o %d:%d %s\\n), $s[2], $s[4], $s[5], unpack(q(H*), substr($v, 0, $l)))'";
    if !cfg!(target_arch = "x86_64") {
        eprintln!("SKIPPED: the script uses the system call numbers of x86-64");
        return Ok(());
    }
    let [best, identity] = id_maps();
    for (maker, looker) in [(&best, &identity), (&identity, &best)] {
        let world = World::new();
        let (exit, said) = run(&Spec { id_map: maker.clone(), ..world.shell(MAKE) })?;
        assert_eq!((exit, said.as_str()), (Exit::Code(0), ""));
        let look = Spec { id_map: looker.clone(), ..world.shell(LOOK) };
        let version_2 = "0100000200200000000000000000000000000000";
        assert_eq!(run(&look)?.1, format!("102755 42:43 {version_2}\n"), "{maker:?} to {looker:?}");
    }
    Ok(())
}

/// What a program finds of devices and of the host's own files.
pub fn devices_and_kernel_files() -> TestResult {
    let world = World::new();
    let (_, text) =
        run(&world.shell("ls -C -w 200 /dev | tr -s ' '; ls /sys/firmware /dev/pts; cat /proc/keys"))?;
    assert_eq!(
        text.split_whitespace().collect::<Vec<_>>().join(" "),
        "fd full null ptmx pts random shm stderr stdin stdout tty urandom zero /dev/pts: ptmx /sys/firmware:"
    );
    Ok(())
}

/// A job sees programs of the host, its own folders, and nothing of a home folder beside them.
pub fn jobs_see_only_their_folders() -> TestResult {
    let world = World::new();
    for name in ["given", "other"] {
        fs::create_dir_all(world.path(name))?;
        fs::write(world.path(name).join("file"), name)?;
    }
    let input = format!("{} {}", world.path("given/file").display(), world.path("other/file").display());
    let entry = Entry::Job { name: "peek".into(), input };
    let spec = Spec { folders: vec![world.path("given")], ..Spec::new(id_map(), entry) };
    assert_eq!(run(&spec)?.0, Exit::Job("given, nothing".into()));
    assert_eq!(fs::read_to_string(world.path("given/file"))?, "changed");
    Ok(())
}
