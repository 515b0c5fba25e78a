//! Customizers behave as Azure Image Builder's do.

use serde_json::json;

use crate::world::{World, fresh, part, unique};

/// SHA-256 of `hello` and a line end.
const HELLO: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

#[test]
fn inline_lines_are_one_script_that_stops_at_the_first_failure() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!([
        fresh("together", &["cd /opt", "GREETING=hello", "pwd", "echo $GREETING"]),
        fresh("stops", &["echo before", "false", "echo after"]),
        fresh("never", &["echo never"]),
    ]));
    let built = world.build("", 1);
    assert_eq!(built.output(1), ["/opt", "hello"]);
    assert_eq!(built.output(2), ["before"]);
    assert_eq!(built.states(), ["succeeded", "failed"], "what follows a failure does not run");
    assert_eq!(built.failed()["step"], 2);
}

#[test]
fn a_script_file_runs_by_its_own_first_line_whatever_its_line_ends() {
    let Some(world) = World::ready() else { return };
    let script = format!(
        "#!/bin/bash\r\nlist=(one two)\r\necho \"${{list[1]}} by ${{BASH##*/}}\"\r\nfalse\r\necho on\r\n# {}\r\n",
        unique()
    );
    world.write("scripts/own.sh", script);
    world.steps(&json!([{"type": "Shell", "name": "own", "scriptUri": "scripts/own.sh"}]));
    let built = world.build("--until own", 0);
    assert_eq!(built.output(1), ["two by bash", "on"]);
}

#[test]
fn a_step_is_an_ordinary_user_with_sudo_without_terminal_and_input() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!([fresh(
        "who",
        &[
            "id -un",
            "sudo id -un",
            "tty || true",
            "if ( : < /dev/tty ) 2> /dev/null; then echo a terminal; fi",
            "test ! -t 1 && test ! -t 2",
            "wc -c",
            "pwd",
        ]
    )]));
    let built = world.build("--until 1", 0);
    assert_eq!(built.output(1), ["packer", "root", "not a tty", "0", "/home/packer"]);
}

#[test]
fn a_step_gets_packers_two_variables_a_logins_and_the_builds_own_and_no_others() {
    let Some(world) = World::ready() else { return };
    let print = "tr '\\0' '\\n' < /proc/$$/environ | sort";
    world.steps(&json!([fresh("variables", &[print, "echo path of root: $(sudo sh -c 'echo $PATH')"])]));
    let mut command = world.build_command("--until 1");
    command.env("SECRET_OF_THE_HOST", "1").env("HTTP_PROXY", "http://203.0.113.1:1");
    let output = command.output().expect("the program runs");
    assert!(output.status.success());
    let log = world.read("out/customization.log");
    let lines = log.lines().filter_map(|line| line.split_once("azure-arm: ").map(|(_, text)| text));
    let variables: Vec<_> = lines.filter(|text| text.contains('=')).collect();
    assert_eq!(
        variables,
        [
            "APT_CONFIG=/run/aks-jumpbox/apt.conf",
            "HOME=/home/packer",
            "LOGNAME=packer",
            "PACKER_BUILDER_TYPE=azure-arm",
            "PACKER_BUILD_NAME=azure-arm",
            "PATH=/usr/local/bin:/usr/bin:/bin:/usr/games",
            "PWD=/home/packer",
            "SHELL=/bin/bash",
            "USER=packer",
        ]
    );
}

#[test]
fn any_exit_code_but_0_fails_the_build_in_the_services_words_and_leaves_the_records() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!([fresh("gives up", &["echo last words", "exit 7"])]));
    let built = world.build("", 1);
    let complaint = built.complaint();
    assert!(
        complaint.contains(
            "step 1 'gives up' failed: Script exited with non-zero exit status: 7. Allowed exit codes are: [0]"
        ),
        "{complaint}"
    );
    assert_eq!(built.failed()["last_lines"], json!(["last words"]));
    assert_eq!(world.names("out"), ["customization.log", "egress.json", "manifest.json"]);
    let manifest = world.json("out/manifest.json");
    assert_eq!(manifest["steps"][0]["state"], "failed");
    assert!(manifest["error"].as_str().is_some_and(|error| error.contains("status: 7")), "{manifest}");
    assert!(manifest["image"].is_null());
    assert_eq!(part(&manifest, &["customize", "step 1: gives up"])["parts"][1]["name"], "run", "{manifest}");
    let log = world.read("out/customization.log");
    assert!(log.contains("ui error: ==> azure-arm: Build 'azure-arm' errored"), "{log}");

    let text = world.command("build --template image.json --timings").output().expect("the program runs");
    let text = String::from_utf8_lossy(&text.stderr).into_owned();
    for told in ["| last words", "exit status: 7", "where the time went", "step 1: gives up"] {
        assert!(text.contains(told), "people see it too: {told}: {text}");
    }
}

#[test]
fn a_file_with_its_checksum_is_put_below_tmp_and_scripts_are_removed_after_they_ran() {
    let Some(world) = World::ready() else { return };
    world.write("files/hello.txt", "hello\n");
    let file = |digest: &str| {
        json!({"type": "File", "name": "put", "sourceUri": "files/hello.txt",
        "sha256Checksum": digest, "destination": "/tmp/hello.txt"})
    };
    let look = "for file in /tmp/*; do test \"$file\" = \"$0\" || echo \"$file $(stat -c %U $file)\"; done";
    let steps = |digest: &str| {
        json!([fresh("first", &["echo ran"]), file(digest), fresh("look", &[look, "cat /tmp/hello.txt"])])
    };
    world.steps(&steps(HELLO));
    let built = world.build("--until look", 0);
    assert_eq!(built.output(3), ["/tmp/hello.txt packer", "hello"]);

    let wrong = "0".repeat(64);
    world.steps(&steps(&wrong));
    let built = world.build("", 2);
    let complaint = built.complaint();
    assert!(complaint.contains(HELLO) && complaint.contains(&wrong), "{complaint}");
    assert_eq!(built.states(), Vec::<&str>::new(), "it is known before anything runs");
}

#[test]
fn a_file_is_put_as_it_is_over_what_its_user_may_write_and_into_nothing_else() {
    let Some(world) = World::ready() else { return };
    world.write("lines.txt", "one\r\ntwo\r\n");
    let put =
        json!({"type": "File", "name": "put", "sourceUri": "lines.txt", "destination": "/tmp/lines.txt"});
    let before = |line: &str| {
        json!([
            fresh("before", &[line]),
            put,
            fresh("look", &["od -c /tmp/lines.txt | head -1", "stat -c '%a %U:%G' /tmp/lines.txt"])
        ])
    };
    world.steps(&before("install -m 600 /dev/null /tmp/lines.txt"));
    let built = world.build("--until look", 0);
    assert!(built.output(3)[0].ends_with("o   n   e  \\r  \\n   t   w   o  \\r  \\n"), "{built}");
    assert_eq!(built.output(3)[1], "600 packer:packer", "what is there keeps its mode, as with scp");

    for (line, why) in [
        ("mkfifo /tmp/lines.txt", "what is there is no regular file"),
        ("mkdir /tmp/lines.txt", "what is there is no regular file"),
        ("ln -s /etc/passwd /tmp/lines.txt", "what is there is no regular file"),
        ("sudo touch /tmp/lines.txt", "Permission denied"),
    ] {
        world.steps(&before(line));
        let complaint = world.build("--until look", 1).complaint();
        let wanted = format!("step 2 'put' failed: Upload failed: /tmp/lines.txt: {why}");
        assert!(complaint.contains(&wanted), "{line}: {complaint}");
    }
}

#[test]
fn what_a_step_leaves_running_ends_with_it() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!([
        fresh(
            "leaves a daemon",
            &["setsid sleep 86400 &", "sudo setsid sleep 86400 > /dev/null 2>&1 &", "echo started"]
        ),
        fresh(
            "alone",
            &["for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline | grep '^sleep' || true; done"]
        ),
    ]));
    let built = world.build("--until alone", 0);
    assert_eq!(built.output(1), ["started"]);
    assert_eq!(built.output(2), Vec::<&str>::new());
}

#[test]
fn a_step_that_removes_its_own_script_runs_to_its_end() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!([fresh("tidy", &["rm -f \"$0\"", "echo gone"])]));
    assert_eq!(world.build("--until tidy", 0).output(1), ["gone"]);
}

#[test]
fn customizers_of_windows_say_that_they_need_azure() {
    let Some(world) = World::ready() else { return };
    world.template(&json!({
        "source": {"type": "PlatformImage", "publisher": "MicrosoftWindowsServer", "offer": "WindowsServer",
            "sku": "2022-datacenter-g2", "version": "latest"},
        "customize": [{"type": "PowerShell", "name": "windows", "inline": ["Get-Date"]}],
    }));
    let built = world.build("", 2);
    assert!(built.to_string().contains("needs Azure"), "{built}");
}

#[test]
fn not_even_root_in_a_step_sees_or_changes_this_machine() {
    let Some(world) = World::ready() else { return };
    world.write("secret", "of the host");
    let secret = format!("sudo test ! -e {}", world.path("secret").display());
    world.steps(&json!([fresh(
        "looks around",
        &[
            &secret,
            "sudo ls -d /proc/[0-9]* | wc -l | xargs test 12 -gt",
            "if sudo sh -c 'echo x > /proc/sys/kernel/hostname' 2> /dev/null; then exit 8; fi",
            "if sudo mknod /tmp/disk b 252 0 2> /dev/null; then exit 9; fi",
            "test \"$(hostname)\" = pkrvm",
            "sudo ip link 2> /dev/null | grep -v -e LOOPBACK -e link/loopback || echo loopback alone",
        ]
    )]));
    assert_eq!(world.build("--until 1", 0).output(1), ["loopback alone"]);
}

#[test]
fn what_a_step_prints_neither_steers_a_terminal_nor_floods_the_log() {
    let Some(world) = World::ready() else { return };
    world.steps(&json!([fresh(
        "prints",
        &["printf '\\033[2Jred\\377\\n'", "head -c 3000000 /dev/zero | tr '\\0' x", "echo", "echo end"]
    )]));
    let built = world.build("--until 1", 0);
    let lines = built.output(1);
    assert!(!lines.iter().any(|line| line.contains('\u{1b}')) && lines[0].contains("red"), "{:?}", lines[0]);
    assert_eq!(lines.last(), Some(&"end"));
    let log = world.read("out/customization.log");
    assert!(log.len() < 100_000 && log.contains("characters cut"), "{} bytes", log.len());
}

#[test]
fn a_file_may_only_go_below_tmp() {
    let Some(world) = World::ready() else { return };
    world.write("file.txt", "content");
    for destination in ["/opt/file.txt", "/tmp/../opt/file.txt", "relative"] {
        world.steps(
            &json!([{"type": "File", "name": "put", "sourceUri": "file.txt", "destination": destination}]),
        );
        assert!(world.build("", 2).to_string().contains("/tmp"), "{destination}");
    }
}
