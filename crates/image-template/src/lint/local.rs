//! What a script leans on that a virtual machine in Azure has and a build on this machine does not: another kernel is
//! running, systemd is not, and there is no Azure around it. Such a step may fail, wait for ever, or do something else.

use super::rules::{Call, MAX_DEPTH, Report, call, inner_script};
use super::shell::{Command, commands};

pub(super) fn check(text: &str, depth: usize, report: &mut Report<'_>) {
    // A script that asks whether systemd runs goes its own way here.
    let asks_for_systemd = text.contains("/run/systemd/system");
    for command in commands(text) {
        azure_address(&command, report);
        kernel_file(&command, report);
        let Some(call) = call(&command) else { continue };
        if !asks_for_systemd {
            service_manager(&call, report);
        }
        for rule in [kernel_module, kernel_setting, running_kernel, boot_menu, first_boot, devices] {
            rule(&call, report);
        }
        for rule in [containers, restart] {
            rule(&call, report);
        }
        if depth < MAX_DEPTH
            && let Some(inner) = inner_script(&call)
        {
            check(&inner, depth + 1, &mut |_, code, message, hint| report(call.offset, code, message, hint));
        }
    }
}

const UNITS_HINT: &str = "`systemctl enable` works and takes effect at the image's first boot; ask the running \
                          service in a smoke test, or guard the line with `[ -d /run/systemd/system ]`";

/// Everything that asks the running systemd or its helpers. Enabling and masking only change files.
fn service_manager(call: &Call<'_>, report: &mut Report<'_>) {
    const OFFLINE: [&str; 14] = [
        "enable",
        "disable",
        "reenable",
        "mask",
        "unmask",
        "preset",
        "preset-all",
        "is-enabled",
        "set-default",
        "get-default",
        "link",
        "revert",
        "add-wants",
        "add-requires",
    ];
    let asks = match call.program {
        "systemctl" => {
            !call.has(&["--version", "--help", "--root"])
                && (call.has(&["--now"]) || call.verb().is_none_or(|verb| !OFFLINE.contains(&verb)))
        }
        "systemd-run" | "loginctl" | "busctl" | "resolvectl" | "networkctl" => true,
        "timedatectl" | "hostnamectl" | "localectl" => call.verb().is_some(),
        _ => false,
    };
    // Restarting the whole machine is a finding of its own.
    let restarts = call.program == "systemctl" && restarts_machine(call);
    if asks && !restarts {
        let what =
            call.verb().map_or_else(|| call.program.to_owned(), |verb| format!("{} {verb}", call.program));
        let message = format!("`{what}` asks systemd, which does not run in a local build, and fails");
        report(call.offset, "service-manager", message, UNITS_HINT);
    }
    let by_script = matches!(call.program, "service" | "invoke-rc.d") && call.args.len() > 1
        || call.path.contains("/etc/init.d/");
    if by_script {
        let message = format!(
            "`{}` runs an init script without systemd, if there is one; what it starts ends with the step",
            call.program
        );
        report(call.offset, "service-manager", message, UNITS_HINT);
    }
}

fn kernel_module(call: &Call<'_>, report: &mut Report<'_>) {
    let loads = match call.program {
        "modprobe" => !call.has(&["-n", "--dry-run", "--version", "-c", "--showconfig"]),
        "insmod" | "rmmod" | "depmod" => true,
        _ => false,
    };
    if loads {
        let message = format!(
            "`{}` is about the running kernel, which in a local build is this machine's and takes no modules from it",
            call.program
        );
        report(
            call.offset,
            "kernel-module",
            message,
            "name the module in `/etc/modules-load.d`: it is loaded at boot",
        );
    }
}

const SETTING_HINT: &str = "write the setting to `/etc/sysctl.d`: it is applied at boot";

fn kernel_setting(call: &Call<'_>, report: &mut Report<'_>) {
    let sets = call.program == "sysctl"
        && (call.has_short('w')
            || call.has_short('p')
            || call.has(&["--write", "--load", "--system"])
            || call.args.iter().any(|arg| !arg.starts_with('-') && arg.contains('=')));
    if sets {
        let message =
            "`sysctl` sets the running kernel, which in a local build is this machine's and read-only";
        report(call.offset, "kernel-setting", message.to_owned(), SETTING_HINT);
    }
}

/// Writes below `/proc/sys` and `/sys`, by redirection or by `tee`.
fn kernel_file(command: &Command, report: &mut Report<'_>) {
    let is_kernels = |path: &&String| ["/proc/sys/", "/sys/"].iter().any(|folder| path.starts_with(folder));
    let tee = call(command).filter(|call| call.program == "tee").map(|call| call.args).unwrap_or_default();
    if let Some(path) = command.outputs.iter().chain(tee).find(is_kernels) {
        let message = format!(
            "`{path}` is the running kernel's, which in a local build is this machine's and read-only"
        );
        report(command.offset, "kernel-setting", message, SETTING_HINT);
    }
}

fn running_kernel(call: &Call<'_>, report: &mut Report<'_>) {
    if call.program == "uname"
        && (call.has_short('r') || call.has_short('a') || call.has(&["--kernel-release"]))
    {
        let message =
            "`uname` names the running kernel, which in a local build is this machine's, not the image's";
        let hint = "take the image's from `/lib/modules`, or install a meta-package such as `linux-headers-cloud-amd64`";
        report(call.offset, "running-kernel", message.to_owned(), hint);
    }
}

fn boot_menu(call: &Call<'_>, report: &mut Report<'_>) {
    if matches!(
        call.program,
        "update-grub" | "update-grub2" | "grub-mkconfig" | "grub-install" | "grub-probe"
    ) {
        let message = format!(
            "`{}` looks for the disk below `/`, which a local build has not yet, and fails; the boot menu is written \
             with the disk",
            call.program
        );
        let hint = "set `GRUB_CMDLINE_LINUX` in `/etc/default/grub.d`, which both builds honour, and call it only where \
                    `grub-probe /` succeeds";
        report(call.offset, "boot-menu", message, hint);
    }
}

/// cloud-init and the agent have set up the build machine in Azure before the first customizer.
fn first_boot(call: &Call<'_>, report: &mut Report<'_>) {
    let asks = match call.program {
        "cloud-init" => {
            matches!(call.verb(), Some("status" | "query" | "init" | "modules" | "single" | "collect-logs"))
        }
        "cloud-id" => true,
        _ => false,
    };
    if asks {
        let message = format!(
            "`{}` asks about a first boot that a local build has not had: it fails, or waits until the build's time is \
             over",
            call.program
        );
        report(
            call.offset,
            "first-boot",
            message,
            "leave it out of the build; ask in a smoke test of the booted image",
        );
    }
}

fn devices(call: &Call<'_>, report: &mut Report<'_>) {
    let has_device = call.args.iter().any(|arg| {
        ["/dev/sd", "/dev/nvme", "/dev/vd", "/dev/disk/", "/dev/mapper/", "/dev/loop"]
            .iter()
            .any(|start| arg.trim_start_matches("of=").trim_start_matches("if=").starts_with(start))
    });
    let needs = match call.program {
        "mount" => call.verb().is_some(),
        "losetup" | "swapon" | "growpart" | "partprobe" | "kpartx" | "pvcreate" => true,
        _ => has_device,
    };
    if needs {
        let message = format!(
            "`{}` needs a disk or a mount: a local build has no disks, and a mount ends with its step",
            call.program
        );
        let hint =
            "write what is to be mounted into `/etc/fstab`; prepare disks at the first boot (cloud-init)";
        report(call.offset, "device", message, hint);
    }
}

fn containers(call: &Call<'_>, report: &mut Report<'_>) {
    const ENGINES: [&str; 6] = ["docker", "podman", "nerdctl", "ctr", "crictl", "minikube"];
    let asks = ENGINES.contains(&call.program)
        && call.verb().is_some_and(|verb| verb != "completion" && verb != "version");
    if asks {
        let message =
            format!("`{}` needs a container engine, and none can run in a local build", call.program);
        report(
            call.offset,
            "container-engine",
            message,
            "fetch images at the first boot, or test this step in Azure",
        );
    }
}

fn restarts_machine(call: &Call<'_>) -> bool {
    matches!(call.verb(), Some("reboot" | "poweroff" | "halt" | "kexec" | "soft-reboot" | "rescue"))
}

fn restart(call: &Call<'_>, report: &mut Report<'_>) {
    let restarts = match call.program {
        "reboot" | "poweroff" | "halt" | "shutdown" => !call.has(&["-c", "--help"]),
        "systemctl" => restarts_machine(call),
        _ => false,
    };
    if restarts {
        let message = format!("`{}` has no machine to restart in a local build", call.program);
        report(call.offset, "no-restart", message, "leave it out; a VM made from the image boots afresh");
    }
}

/// Azure's instance metadata and its platform's own address, wherever a command names them.
fn azure_address(command: &Command, report: &mut Report<'_>) {
    const ADDRESSES: [(&str, &str); 2] =
        [("169.254.169.254", "the instance metadata service"), ("168.63.129.16", "Azure's platform address")];
    for (address, what) in ADDRESSES {
        // What stands inside a substitution is a command of its own.
        let is_named = |word: &String| word.contains(address) && !word.contains(['`', '(']);
        if command.words.iter().any(is_named) {
            let message = format!("{address} is {what}: nothing answers there in a local build");
            let hint = "hand the value in by a file or a line of the step; identities exist only in Azure";
            report(command.offset, "azure-address", message, hint);
        }
    }
}
