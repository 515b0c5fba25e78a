//! Real namespaces: needs root, `ip` and `nft`. The root file system is a skeleton with the host's /usr in it.
#![allow(clippy::unwrap_used, clippy::unnecessary_wraps, clippy::type_complexity, reason = "tests")]

mod escapes;
mod limits;

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};
use sandbox::{
    Bind, Entry, Exit, Files, IdMap, Job, JobContext, Overlay, Program, SandboxError, Spec, Upload,
};

const JOBS: &[Job] = &[
    Job { name: "echo", run: |_, input| Ok(input.to_uppercase()) },
    Job { name: "write", run: |context, input| write_in_root(context, input) },
    Job { name: "long", run: |_, _| Ok("x".repeat(8 << 20)) },
    Job { name: "peek", run: |_, input| Ok(peek(input)) },
    Job { name: "attack", run: |_, input| escapes::attack_as_job(input) },
    Job { name: "fail", run: |_, _| Err("no luck".to_owned()) },
];

fn write_in_root(context: &JobContext, input: &str) -> Result<String, String> {
    let root = context.root.as_ref().ok_or("no root")?;
    fs::write(root.join("etc/from-job"), input).map_err(|error| error.to_string())?;
    fs::read_to_string(root.join("etc/base")).map_err(|error| error.to_string())
}

/// The best that this machine has; which one that is here has a test of its own.
fn id_map() -> IdMap {
    IdMap::choose(&[&std::env::temp_dir()]).unwrap().id_map
}

/// What is in each file, and then something else in the first.
fn peek(files: &str) -> String {
    let read = |file| fs::read_to_string(file).unwrap_or_else(|_| "nothing".to_owned());
    let found: Vec<_> = files.split(' ').map(read).collect();
    fs::write(files.split(' ').next().unwrap(), "changed").unwrap();
    found.join(", ")
}

type TestResult = Result<(), Failed>;

fn main() {
    sandbox::enter_if_requested(JOBS);
    let tests: [(&str, fn() -> TestResult); 23] = [
        ("a_program_sees_the_overlay_and_its_exit_code_comes_back", exit_code),
        ("writes_land_in_the_upper_folder_alone", upper),
        ("an_upload_writes_what_its_owner_may_and_waits_for_nobody", uploads),
        ("the_command_runs_as_the_given_user_without_groups", user),
        ("no_descriptor_and_no_host_file_is_inherited", nothing_inherited),
        ("kernel_settings_are_read_only", kernel_settings),
        ("a_link_in_place_of_a_mount_point_is_refused", hostile_mount_point),
        ("a_job_returns_its_output_or_its_error", jobs),
        ("tcp_to_any_address_reaches_the_proxy_socket", proxy_socket),
        ("udp_is_refused_at_once_and_logged", refused_udp),
        ("killing_leaves_no_process", kill),
        ("background_processes_end_with_the_command", background),
        (
            "a_file_system_without_id_mapped_mounts_is_named_as_the_reason_for_the_other_map",
            escapes::fallback,
        ),
        ("root_inside_is_nobody_outside", escapes::root_is_nobody),
        ("what_a_hostile_root_tries_is_refused_and_the_host_is_as_before", escapes::attacks_are_refused),
        ("what_a_job_may_do_beyond_a_program_is_mounting_where_it_has_to", escapes::attacks_as_job),
        ("a_layer_is_the_same_under_every_id_map", escapes::layers_are_interchangeable),
        ("a_program_finds_harmless_devices_and_no_firmware", escapes::devices_and_kernel_files),
        ("a_job_sees_only_the_folders_it_was_given", escapes::jobs_see_only_their_folders),
        ("a_bind_with_scratch_keeps_the_source_untouched", scratch_bind),
        ("a_program_with_few_files_opens_no_others", few_files),
        ("each_means_by_itself_ends_a_fork_bomb", limits::fork_bomb),
        ("a_control_group_is_of_one_sandbox_and_gone_with_it", limits::own_group),
    ];
    let trials = tests.into_iter().map(|(name, test)| Trial::test(name, test)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        for name in ["etc", "tmp", "usr", "proc", "sys", "dev", "run", "cache"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(format!("usr/{name}"), base.join(name)).unwrap();
        }
        fs::write(base.join("etc/base"), "from the base").unwrap();
        for name in ["upper", "work"] {
            fs::create_dir_all(folder.path().join("scratch").join(name)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn spec(&self, entry: Entry) -> Spec {
        Spec {
            overlay: Some(Overlay {
                store: self.folder.path().to_path_buf(),
                lowers: vec!["base".into()],
                scratch: self.path("scratch"),
                volatile: false,
            }),
            binds: vec![Bind { host: "/usr".into(), inside: "/usr".into(), read_only: true, scratch: None }],
            ..Spec::new(id_map(), entry)
        }
    }

    fn shell(&self, script: &str) -> Spec {
        self.spec(Entry::Program(Program {
            argv: ["/bin/sh", "-ec", script].map(str::to_owned).to_vec(),
            env: vec![("PATH".into(), "/usr/sbin:/usr/bin".into())],
            cwd: "/".into(),
            uid: 0,
            gid: 0,
        }))
    }
}

fn run(spec: &Spec) -> Result<(Exit, String), SandboxError> {
    let mut running = sandbox::spawn(spec)?;
    let (mut out, mut err) = (running.take_stdout().unwrap(), running.take_stderr().unwrap());
    let (mut text, mut errors) = (String::new(), String::new());
    out.read_to_string(&mut text).unwrap();
    err.read_to_string(&mut errors).unwrap();
    Ok((running.wait()?, text + &errors))
}

fn exit_code() -> TestResult {
    let world = World::new();
    let (exit, text) = run(&world.shell("cat /etc/base; hostname; exit 7"))?;
    assert_eq!((exit, text.as_str()), (Exit::Code(7), "from the basebuild\n"));
    Ok(())
}

fn upper() -> TestResult {
    let world = World::new();
    let mut spec = world.shell("cat /tmp/up; echo new > /etc/new; rm /etc/base");
    fs::write(world.path("up"), "sent\n").unwrap();
    spec.uploads.push(Upload {
        path: "/tmp/up".into(),
        source: world.path("up"),
        mode: 0o644,
        uid: 0,
        gid: 0,
    });
    let (exit, text) = run(&spec)?;
    assert_eq!((exit, text.as_str()), (Exit::Code(0), "sent\n"));
    assert_eq!(fs::read_to_string(world.path("scratch/upper/etc/new")).unwrap(), "new\n");
    assert_eq!(fs::read_to_string(world.path("base/etc/base")).unwrap(), "from the base");
    Ok(())
}

fn uploads() -> TestResult {
    let world = World::new();
    fs::write(world.path("up"), "sent\n").unwrap();
    let upload = |path: &str| {
        let mut spec = world.shell("stat -c '%a %u:%g' /tmp/new /tmp/own | tr '\\n' ' '");
        spec.uploads = ["/tmp/new", path]
            .map(|path| Upload {
                path: path.into(),
                source: world.path("up"),
                mode: 0o644,
                uid: 1000,
                gid: 1001,
            })
            .into();
        run(&spec)
    };
    let tmp = world.path("base/tmp");
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777))?;
    fs::write(tmp.join("own"), "a longer content")?;
    fs::set_permissions(tmp.join("own"), fs::Permissions::from_mode(0o600))?;
    chown(tmp.join("own"), Some(1000), Some(1000))?;
    fs::write(tmp.join("of-root"), "")?;
    fs::create_dir(tmp.join("folder"))?;
    symlink("/etc/base", tmp.join("link"))?;
    assert!(std::process::Command::new("mkfifo").arg(tmp.join("pipe")).status()?.success());
    assert_eq!(upload("/tmp/own")?.1, "644 1000:1001 600 1000:1000 ", "what is there keeps owner and mode");
    assert_eq!(fs::read_to_string(world.path("scratch/upper/tmp/own"))?, "sent\n");
    for (path, why) in [
        ("/tmp/pipe", "no regular file"),
        ("/tmp/folder", "no regular file"),
        ("/tmp/link", "no regular file"),
        ("/tmp/of-root", "Permission denied"),
        ("/etc/new", "Permission denied"),
        ("/tmp/none/new", "No such file"),
    ] {
        let Err(SandboxError::Upload(error)) = upload(path) else { return Err(path.into()) };
        assert!(error.starts_with(path) && error.contains(why), "{error}");
    }
    Ok(())
}

fn user() -> TestResult {
    let world = World::new();
    let mut spec = world.shell("id -u; id -g; id -G; tty || true");
    if let Entry::Program(program) = &mut spec.entry {
        (program.uid, program.gid) = (1000, 1001);
    }
    assert_eq!(run(&spec)?.1, "1000\n1001\n1001\nnot a tty\n");
    Ok(())
}

fn nothing_inherited() -> TestResult {
    let world = World::new();
    let (_, text) = run(&world.shell(
        "ulimit -n; ls /proc/self/fd | wc -l; ls / | tr '\\n' ' '; env | sort | cut -d= -f1 | tr '\\n' ' '",
    ))?;
    // 0, 1, 2 and the descriptor of ls's own listing.
    assert_eq!(text, "1024\n4\nbin cache dev etc lib lib64 proc run sbin sys tmp usr PATH PWD ");
    Ok(())
}

fn kernel_settings() -> TestResult {
    let world = World::new();
    let (_, text) = run(&world.shell("for f in /proc/sys/kernel/hostname /proc/sysrq-trigger; do (echo x > $f) 2>/dev/null && echo wrote $f; done; cat /proc/kcore 2>/dev/null | wc -c"))?;
    assert_eq!(text, "0\n");
    Ok(())
}

fn hostile_mount_point() -> TestResult {
    let world = World::new();
    fs::remove_dir(world.path("base/proc")).unwrap();
    symlink("/etc", world.path("base/proc")).unwrap();
    let error = run(&world.shell("true")).unwrap_err().to_string();
    assert!(error.contains("/proc of the image is not a folder"), "{error}");
    Ok(())
}

fn jobs() -> TestResult {
    let world = World::new();
    let job = |name: &str| world.spec(Entry::Job { name: name.into(), input: "hello".into() });
    assert_eq!(run(&job("echo"))?.0, Exit::Job("HELLO".into()));
    assert_eq!(run(&job("write"))?.0, Exit::Job("from the base".into()));
    assert_eq!(fs::read_to_string(world.path("scratch/upper/etc/from-job")).unwrap(), "hello");
    assert!(
        matches!(run(&job("long"))?.0, Exit::Job(text) if text.len() == 8 << 20),
        "more than a socket holds"
    );
    assert!(matches!(run(&job("fail")), Err(SandboxError::Job(why)) if why == "no luck"));
    Ok(())
}

fn proxy_socket() -> TestResult {
    let world = World::new();
    let mut spec = world.shell("exec 3<>/dev/tcp/203.0.113.9/4444; cat <&3");
    if let Entry::Program(program) = &mut spec.entry {
        program.argv[0] = "/bin/bash".into();
    }
    spec.network = true;
    let mut running = sandbox::spawn(&spec)?;
    let sockets = running.take_sockets().ok_or("no sockets")?;
    let listener = TcpListener::from(sockets.tcp);
    listener.set_nonblocking(false)?;
    let (mut stream, client) = listener.accept()?;
    assert_eq!(stream.local_addr()?, "203.0.113.9:4444".parse::<SocketAddr>()?);
    assert_eq!(client.ip(), sandbox::GUEST_ADDRESS);
    std::io::Write::write_all(&mut stream, b"hello from outside")?;
    drop(stream);
    let mut text = String::new();
    running.take_stdout().ok_or("no output")?.read_to_string(&mut text)?;
    assert_eq!(text, "hello from outside");
    assert_eq!(running.wait()?, Exit::Code(0));
    Ok(())
}

fn refused_udp() -> TestResult {
    let world = World::new();
    let mut spec = world.shell("echo hi > /dev/udp/203.0.113.9/123 && echo sent; echo done; cat");
    if let Entry::Program(program) = &mut spec.entry {
        program.argv[0] = "/bin/bash".into();
        program.argv[1] = "-c".into();
    }
    spec.network = true;
    let mut running = sandbox::spawn(&spec)?;
    let refused = std::fs::File::from(running.take_sockets().ok_or("no sockets")?.refused);
    let mut text = String::new();
    running.take_stdout().ok_or("no output")?.read_to_string(&mut text)?;
    assert_eq!(text, "done\n");
    let mut packet = [0; 1024];
    let length = (&refused).read(&mut packet)?;
    let target = [203, 0, 113, 9];
    assert!(packet[..length].windows(4).any(|window| window == target), "the packet is in the log");
    running.wait()?;
    Ok(())
}

fn kill() -> TestResult {
    let world = World::new();
    let mut spec = world.shell("echo ready; sleep 1000");
    // Written as another user, which must not undo what ends pid 1.
    fs::set_permissions(world.path("base/tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::write(world.path("up"), "sent")?;
    let source = world.path("up");
    spec.uploads.push(Upload { path: "/tmp/up".into(), source, mode: 0o644, uid: 1000, gid: 1000 });
    let mut running = sandbox::spawn(&spec)?;
    let mut byte = [0; 6];
    running.take_stdout().ok_or("no output")?.read_exact(&mut byte)?;
    let processes = descendants(running.id());
    assert!(processes.len() >= 2, "pid 1 and the command: {processes:?}");
    running.killer()?.kill();
    assert!(matches!(running.wait(), Err(SandboxError::Lost(_))));
    for process in processes {
        wait_until_gone(process);
    }
    Ok(())
}

fn background() -> TestResult {
    let world = World::new();
    let mut spec = world.shell(
        "(trap '' TERM HUP; sleep 1000) >/dev/null 2>&1 & setsid sleep 1000 >/dev/null 2>&1 & echo started",
    );
    spec.uploads.clear();
    let (exit, text) = run(&spec)?;
    assert_eq!((exit, text.as_str()), (Exit::Code(0), "started\n"));
    Ok(())
}

fn scratch_bind() -> TestResult {
    let world = World::new();
    for name in ["store", "adds/upper", "adds/work"] {
        fs::create_dir_all(world.path(name)).unwrap();
    }
    fs::write(world.path("store/a"), "a").unwrap();
    let mut spec = world.shell("cat /cache/a; echo evil > /cache/a; echo b > /cache/b");
    let bind = Bind {
        host: world.path("store"),
        inside: "/cache".into(),
        read_only: false,
        scratch: Some(world.path("adds")),
    };
    spec.binds.push(bind);
    let (exit, text) = run(&spec)?;
    assert_eq!((exit, text.as_str()), (Exit::Code(0), "a"));
    assert_eq!(fs::read_to_string(world.path("store/a")).unwrap(), "a");
    assert!(!world.path("store/b").exists());
    assert_eq!(fs::read_to_string(world.path("adds/upper/b")).unwrap(), "b\n");
    assert_eq!(fs::read_dir(world.path("scratch/upper/cache")).map_or(0, Iterator::count), 0);
    Ok(())
}

fn few_files() -> TestResult {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    for name in ["read", "write", "other"] {
        fs::write(path(name), name)?;
    }
    let read = ["/bin", "/lib", "/lib64", "/usr", "/etc/ld.so.cache", "/dev/null"].map(PathBuf::from);
    let files = Files { read: [&read[..], &[path("read")]].concat(), write: vec![path("write")] };
    let only = files.only()?;
    let script = "for file in read write other; do cat $file; echo >> $file; done; echo $?; touch new";
    let mut command = std::process::Command::new(&only[0]);
    let output =
        command.args(&only[1..]).args(["/bin/sh", "-c", script]).current_dir(folder.path()).output()?;
    let said = String::from_utf8(output.stderr)?;
    if said.is_empty() && path("new").exists() {
        eprintln!("SKIPPED: this kernel has no landlock");
        return Ok(());
    }
    assert_eq!(String::from_utf8(output.stdout)?, "readwrite2\n", "{said}");
    assert_eq!(said.matches("Permission denied").count(), 4, "{said}");
    let lengths =
        ["read", "write", "other"].map(|name| fs::metadata(path(name)).map_or(0, |meta| meta.len()));
    assert_eq!(lengths, [4, 6, 5]);
    Ok(())
}

fn descendants(of: u32) -> Vec<u32> {
    let children = |pid: u32| -> Vec<u32> {
        let path = format!("/proc/{pid}/task/{pid}/children");
        let text = fs::read_to_string(Path::new(&path)).unwrap_or_default();
        text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    };
    let mut all = children(of);
    let mut next = 0;
    while next < all.len() {
        all.extend(children(all[next]));
        next += 1;
    }
    all
}

/// The kernel ends a pid namespace asynchronously when its parent was killed; the watchdog of the test run is
/// what bounds this.
fn wait_until_gone(pid: u32) {
    while Path::new(&format!("/proc/{pid}")).exists() {
        std::thread::yield_now();
    }
}
