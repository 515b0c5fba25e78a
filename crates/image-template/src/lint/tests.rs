//! Scripts, and what is found in them.

use super::script;

fn codes(text: &str) -> Vec<&'static str> {
    script(text).iter().map(|finding| finding.code).collect()
}

#[track_caller]
fn finds(code: &'static str, scripts: &[&str]) {
    for text in scripts {
        assert_eq!(codes(text), [code], "{text}");
    }
}

#[track_caller]
fn finds_nothing(scripts: &[&str]) {
    for text in scripts {
        assert_eq!(codes(text), [""; 0], "{text}");
    }
}

#[test]
fn a_pipe_into_a_shell() {
    finds(
        "pipe-to-shell",
        &[
            "curl -fsSL https://example.com/i.sh | sudo bash",
            "wget -qO- https://example.com/i.sh | sudo -E env A=b /bin/sh -s -- -y",
            "curl x | gunzip | python3 -",
            "if true; then curl x | sh; fi",
            "sh -c \"$(curl -fsSL https://example.com/i.sh)\"",
            "bash <(curl -fsSL https://example.com/i.sh)",
            "sudo bash -c 'curl x | bash'",
            "eval `wget -qO- x`",
        ],
    );
    finds_nothing(&[
        "curl -fsSL https://example.com/i.sh -o i.sh && sh i.sh",
        "# curl x | sh",
        "echo 'curl x | sh'",
        "cat <<EOF > /tmp/readme\ncurl x | sh\nEOF",
        "#!/bin/bash\nset -euo pipefail\ncurl x | bash",
        "curl x | tee /tmp/x",
        "echo true | sh",
    ]);
}

#[test]
fn a_package_manager_that_asks() {
    finds(
        "package-manager-asks",
        &[
            "sudo apt-get install jq",
            "apt install jq git",
            "sudo env DEBIAN_FRONTEND=noninteractive apt-get -o Dpkg::Use-Pty=0 dist-upgrade",
            "apt-get update && apt-get upgrade",
            "sudo DEBIAN_FRONTEND=noninteractive apt-get -q remove x",
            "apt-get install $PACKAGES",
            "sudo tdnf install jq",
            "sudo sh -c 'apt-get update; apt-get install jq'",
            "xargs -a list apt-get install",
        ],
    );
    finds_nothing(&[
        "sudo apt-get update",
        "sudo apt-get install -y jq",
        "sudo apt-get -y install jq",
        "apt-get -qq install jq",
        "apt-get install -yqq jq",
        "apt-get install --yes jq",
        "apt-get install --assume-yes jq",
        "apt-get -o APT::Get::Assume-Yes=true install jq",
        "apt-get install $APT_OPTS jq",
        "yes | apt-get install jq",
        "apt-get -s upgrade",
        "apt-cache show install",
        "dnf -y install jq",
        "echo apt-get install jq",
    ]);
    finds("package-manager-asks", &["apt-get -o APT::Get::Assume-Yes=false install jq"]);
}

#[test]
fn a_restart() {
    finds(
        "restart",
        &["sudo reboot", "/sbin/shutdown -r now", "sudo systemctl --force reboot", "init 6", "x && poweroff"],
    );
    finds_nothing(&[
        "echo reboot",
        "systemctl status reboot.target",
        "touch /var/run/reboot-required",
        "shutdown -c",
    ]);
}

#[test]
fn a_firewall_change() {
    finds(
        "firewall-change",
        &[
            "sudo ufw --force enable",
            "iptables -A INPUT -j DROP",
            "nft -f /etc/nftables.conf",
            "nft add rule inet a b drop",
            "firewall-cmd --permanent --add-service=http",
            "systemctl enable --now ufw",
            "iptables-restore < /etc/rules",
        ],
    );
    finds_nothing(&[
        "ufw status",
        "iptables -L -n",
        "nft list ruleset",
        "firewall-cmd --list-all",
        "systemctl status ufw",
    ]);
}

#[test]
fn a_change_that_locks_the_build_out() {
    finds(
        "ssh-lockout",
        &[
            "sudo systemctl restart sshd",
            "service ssh reload",
            "sudo /etc/init.d/ssh restart",
            "pkill sshd",
            "echo 'Port 2222' | sudo tee -a /etc/ssh/sshd_config",
            "sudo sed -i 's/^#Port 22/Port 2222/' /etc/ssh/sshd_config",
            "sudo tee /etc/ssh/sshd_config.d/x.conf <<E\nAllowUsers admin\nE",
            "echo 'PubkeyAuthentication no' >> /etc/ssh/sshd_config",
            "printf 'X11Forwarding no\\nDenyUsers packer\\n' > /etc/ssh/sshd_config.d/a.conf",
        ],
    );
    finds_nothing(&[
        "sudo systemctl enable ssh",
        "systemctl restart cron",
        "sudo tee /etc/ssh/sshd_config.d/x.conf <<E\nPasswordAuthentication no\nE",
        "sudo sed -i 's/X11Forwarding yes/X11Forwarding no/' /etc/ssh/sshd_config",
        "echo 'Port 2222' > /etc/other",
        "ssh restart",
    ]);
}

#[test]
fn the_loss_of_tmp() {
    finds(
        "deletes-tmp",
        &[
            "rm -rf /tmp",
            "sudo rm -fr /tmp/*",
            "sudo rm -r -f /tmp/ /var/tmp",
            "find /tmp -mindepth 1 -delete",
            "sudo find /tmp/ -type f -exec rm {} +",
            "sudo mount -t tmpfs tmpfs /tmp",
        ],
    );
    finds_nothing(&[
        "rm -rf /tmp/mine",
        "rm /tmp/*.deb",
        "rm -rf /var/tmp/*",
        "find /tmp -name x",
        "ls /tmp",
        "mv /tmp/a /b",
    ]);
}

#[test]
fn a_finding_says_where_it_is() {
    let text = "true\nsudo reboot";
    let [finding] = script(text).try_into().expect("one finding");
    assert_eq!(&text[finding.offset..], "sudo reboot");
}

#[track_caller]
fn differs(code: &'static str, scripts: &[&str]) {
    for text in scripts {
        let found: Vec<_> = super::local_script(text).iter().map(|finding| finding.code).collect();
        assert_eq!(found, [code], "{text}");
    }
}

#[track_caller]
fn differs_in_nothing(scripts: &[&str]) {
    for text in scripts {
        assert_eq!(super::local_script(text), [], "{text}");
    }
}

#[test]
fn a_local_build_has_no_running_systemd() {
    differs(
        "service-manager",
        &[
            "sudo systemctl restart nginx",
            "systemctl daemon-reload",
            "sudo systemctl enable --now nginx",
            "if systemctl is-active ssh; then true; fi",
            "systemctl",
            "service nginx start",
            "/etc/init.d/nginx start",
            "sudo bash -c 'systemctl start nginx'",
            "sudo timedatectl set-timezone UTC",
        ],
    );
    differs_in_nothing(&[
        "sudo systemctl enable nginx",
        "systemctl mask ufw",
        "systemctl is-enabled ssh",
        "systemctl --version",
        "echo systemctl start nginx",
        "[ -d /run/systemd/system ] && systemctl daemon-reload",
        "timedatectl",
    ]);
}

#[test]
fn a_local_build_runs_on_this_machines_kernel() {
    differs("kernel-module", &["sudo modprobe br_netfilter", "insmod x.ko"]);
    differs(
        "kernel-setting",
        &[
            "sysctl -w vm.swappiness=1",
            "sysctl vm.swappiness=1",
            "sudo sysctl --system",
            "sysctl -p /etc/sysctl.d/x.conf",
            "echo 1 > /proc/sys/net/ipv4/ip_forward",
            "echo 1 | sudo tee /proc/sys/net/ipv4/ip_forward",
        ],
    );
    differs("running-kernel", &["sudo apt-get install -y linux-headers-$(uname -r)", "uname -a"]);
    differs_in_nothing(&[
        "echo br_netfilter | sudo tee /etc/modules-load.d/k8s.conf",
        "sysctl vm.swappiness",
        "modprobe -n x",
        "uname -m",
        "cat /proc/sys/kernel/osrelease",
    ]);
}

#[test]
fn a_local_build_has_no_disk_no_first_boot_and_no_azure() {
    differs("boot-menu", &["sudo update-grub", "grub-mkconfig -o /boot/grub/grub.cfg"]);
    differs("first-boot", &["cloud-init status --wait"]);
    differs(
        "device",
        &["sudo mount /dev/sdb1 /mnt", "mkfs.ext4 /dev/sdc", "dd if=/dev/zero of=/dev/sdb", "swapon -a"],
    );
    differs("container-engine", &["sudo docker run hello-world", "docker pull x"]);
    differs("no-restart", &["sudo reboot", "shutdown -r now", "systemctl reboot"]);
    differs(
        "azure-address",
        &[
            "curl -H Metadata:true 'http://169.254.169.254/metadata/instance?api-version=2021-02-01'",
            "x=$(curl -s http://168.63.129.16/?comp=versions)",
        ],
    );
    differs_in_nothing(&[
        "mount",
        "docker --version",
        "cloud-init clean",
        "dd if=/dev/zero of=/swapfile",
        "shutdown -c",
    ]);
}
