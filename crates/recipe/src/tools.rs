//! The tools of the jump box: which package brings them, and how each one shows that it works.

/// The packages of the built-in recipe, all in main of Debian 13.
pub(crate) const DEFAULT_PACKAGES: [&str; 12] = [
    "azure-cli",
    "kubectl",
    "kustomize",
    "kubectx",
    "jq",
    "git",
    "tmux",
    "bind9-dnsutils",
    "mtr-tiny",
    "tcpdump",
    "netcat-openbsd",
    "openssl",
];

/// A command of a package, and what it prints when it works. None of them needs a network.
pub(crate) struct Tool {
    package: &'static str,
    pub name: &'static str,
    pub run: &'static str,
    pub expect: &'static str,
}

const fn tool(package: &'static str, name: &'static str, run: &'static str, expect: &'static str) -> Tool {
    Tool { package, name, run, expect }
}

const TOOLS: [Tool; 15] = [
    tool("azure-cli", "az", "az version --output json", "\"azure-cli\""),
    tool("kubectl", "kubectl", "kubectl version --client", "Client Version"),
    tool("kubernetes-client", "kubectl", "kubectl version --client", "Client Version"),
    tool("kustomize", "kustomize", "kustomize version && echo kustomize answers", "kustomize answers"),
    tool("kubectx", "kubectx", "kubectx --help", "kubectx"),
    tool("kubectx", "kubens", "kubens --help", "kubens"),
    tool("jq", "jq", "echo '{\"jq\": \"answers\"}' | jq --raw-output .jq", "answers"),
    tool("git", "git", "git --version", "git version"),
    tool("tmux", "tmux", "tmux -V", "tmux"),
    tool("bind9-dnsutils", "dig", "dig -v 2>&1", "DiG"),
    tool("mtr-tiny", "mtr", "mtr --version", "mtr"),
    tool("tcpdump", "tcpdump", "tcpdump --version 2>&1", "tcpdump version"),
    tool("netcat-openbsd", "nc", "nc -h 2>&1 || true", "OpenBSD netcat"),
    tool("openssl", "openssl", "openssl version", "OpenSSL"),
    tool("curl", "curl", "curl --version", "curl"),
];

/// The tools that a package brings, as far as they are known here.
pub(crate) fn tools_of(package: &str) -> impl Iterator<Item = &'static Tool> + use<'_> {
    TOOLS.iter().filter(move |tool| tool.package == package)
}
