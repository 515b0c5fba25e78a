//! What a template points to: scripts and files behind http(s), or beside a template that was read from disk.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use egress_gateway::UpstreamProxy;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use ureq::RequestBuilder;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use ureq::typestate::WithoutBody;

use crate::cancel::Cancel;
use crate::digest::sha256;
use crate::error::{BuildError, Result};
use crate::network::Outbound;

/// The largest script or file that is fetched: AIB itself advises against more than 20 MB.
const LIMIT: u64 = 1 << 30;

/// Fetches sources with the trust and the proxy of the configuration.
#[derive(Debug)]
pub struct Fetcher {
    agent: ureq::Agent,
    /// The proxy that the agent asks, for the hosts that it leads to.
    proxy: Option<UpstreamProxy>,
    folder: Option<PathBuf>,
    cancel: Cancel,
}

/// What was fetched.
#[derive(Debug)]
pub struct Fetched {
    /// Content.
    pub bytes: Vec<u8>,
    /// SHA-256 of the content.
    pub sha256: String,
    /// Host and port it came from; none for a local file.
    pub remote: Option<(String, u16)>,
}

impl Fetcher {
    /// `folder` is where the template was read from; none for a template that is not a file. `cancel` ends a wait.
    ///
    /// # Errors
    /// When a certificate or the proxy's address cannot be used.
    pub fn new(folder: Option<PathBuf>, outbound: &Outbound, cancel: &Cancel) -> Result<Self> {
        let mut roots: Vec<Certificate<'static>> = rustls_native_certs::load_native_certs()
            .certs
            .into_iter()
            .map(|certificate| Certificate::from_der(&certificate).to_owned())
            .collect();
        for path in &outbound.authorities {
            let text = std::fs::read(path).map_err(BuildError::io("read", path))?;
            for item in ureq::tls::parse_pem(&text).flatten() {
                if let PemItem::Certificate(certificate) = item {
                    roots.push(certificate);
                }
            }
        }
        let tls = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).build();
        let address = outbound.proxy_address.as_deref();
        let proxy = address.map(ureq::Proxy::new).transpose().map_err(|error| BuildError::Input {
            message: format!("the upstream proxy's address cannot be used: {error}"),
            hint: Some("write it as http://host:port".to_owned()),
        })?;
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .proxy(proxy)
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_global(Some(Duration::from_mins(10)))
            .build()
            .new_agent();
        Ok(Self { agent, proxy: outbound.upstream_proxy.clone(), folder, cancel: cancel.clone() })
    }

    /// Fetches a source and checks it against the template's checksum, when there is one.
    ///
    /// # Errors
    /// [`BuildError::Network`] when it cannot be had, [`BuildError::Input`] when it may not be used or is not what
    /// the checksum says.
    pub fn fetch(&self, uri: &str, checksum: Option<&str>) -> Result<Fetched> {
        let (bytes, remote) = if uri.starts_with("http://") || uri.starts_with("https://") {
            (self.download(uri)?, remote_of(uri))
        } else {
            (self.read(uri)?, None)
        };
        let sha256 = sha256(&bytes);
        if let Some(expected) = checksum.filter(|expected| *expected != sha256) {
            return Err(BuildError::Input {
                message: format!("{uri} does not match its checksum: expected {expected}, got {sha256}"),
                hint: Some("find out which of the two is right; never just paste the new one".to_owned()),
            });
        }
        Ok(Fetched { bytes, sha256, remote })
    }

    /// In a thread of its own, which is left to its time-out when the user does not want to wait for it.
    fn download(&self, uri: &str) -> Result<Vec<u8>> {
        let failed = |error: &dyn std::fmt::Display| BuildError::Network {
            message: format!("failed to fetch {uri}: {error}"),
            hint: Some("AIB fetches scripts from its own network; here this machine does".to_owned()),
        };
        let (sender, answer) = channel();
        let request = self.request(uri);
        std::thread::spawn(move || {
            let get = || request.call()?.body_mut().with_config().limit(LIMIT).read_to_vec();
            let _ = sender.send(get());
        });
        loop {
            self.cancel.check()?;
            match answer.recv_timeout(Duration::from_millis(50)) {
                Ok(answer) => return answer.map_err(|error| failed(&error)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(error @ RecvTimeoutError::Disconnected) => return Err(failed(&error)),
            }
        }
    }

    /// A redirect is followed the way that led to it: through the proxy or not.
    fn request(&self, uri: &str) -> RequestBuilder<WithoutBody> {
        let request = self.agent.get(uri);
        match (&self.proxy, remote_of(uri)) {
            (Some(proxy), Some((host, port))) if !proxy.leads_to(&host, Some(port)) => {
                request.config().proxy(None).build()
            }
            _ => request,
        }
    }

    /// Opens below the template's folder; the kernel refuses every way out of it.
    fn read(&self, uri: &str) -> Result<Vec<u8>> {
        let refused = |message: String| BuildError::Input {
            message,
            hint: Some("use http(s), or a path relative to the template and inside its folder".to_owned()),
        };
        let Some(folder) = &self.folder else {
            return Err(refused(format!(
                "{uri} is a local file, but the template is not read from a folder"
            )));
        };
        let path = uri.strip_prefix("file://").or_else(|| uri.strip_prefix("file:")).unwrap_or(uri);
        let path = Path::new(path);
        let relative = path.strip_prefix(folder).unwrap_or(path);
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let directory = File::open(folder).map_err(BuildError::io("open", folder))?;
        let opened = rustix::fs::openat2(
            &directory,
            relative,
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
            beneath,
        );
        let file = match opened {
            Ok(file) => File::from(file),
            Err(rustix::io::Errno::XDEV | rustix::io::Errno::LOOP) => {
                return Err(refused(format!("{uri} leads out of the template's folder")));
            }
            Err(error) => return Err(refused(format!("failed to open {uri}: {error}"))),
        };
        let mut bytes = Vec::new();
        file.take(LIMIT).read_to_end(&mut bytes).map_err(BuildError::io("read", path))?;
        Ok(bytes)
    }
}

/// Host and port of an http(s) address.
fn remote_of(uri: &str) -> Option<(String, u16)> {
    let (scheme, rest) = uri.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let default = if scheme == "https" { 443 } else { 80 };
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => Some((name.to_ascii_lowercase(), port.parse().ok()?)),
        _ => Some((host.to_ascii_lowercase(), default)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::mpsc::Receiver;

    use egress_gateway::NoProxy;

    use super::*;

    fn fetcher(folder: &Path) -> Fetcher {
        Fetcher::new(Some(folder.to_path_buf()), &Outbound::default(), &Cancel::new()).expect("fetcher")
    }

    #[test]
    fn a_local_source_stays_inside_the_templates_folder() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let inside = folder.path().join("t");
        std::fs::create_dir_all(inside.join("scripts")).expect("make");
        std::fs::write(folder.path().join("secret"), "s").expect("write");
        std::fs::write(inside.join("scripts/a.sh"), "echo a").expect("write");
        std::os::unix::fs::symlink("/etc/passwd", inside.join("link")).expect("link");
        std::os::unix::fs::symlink("scripts/a.sh", inside.join("fine")).expect("link");
        let fetcher = fetcher(&inside);
        assert_eq!(fetcher.fetch("scripts/a.sh", None).expect("read").bytes, b"echo a");
        assert_eq!(fetcher.fetch("file:./scripts/a.sh", None).expect("read").bytes, b"echo a");
        assert_eq!(fetcher.fetch("fine", None).expect("read").bytes, b"echo a");
        for bad in ["../secret", "/etc/passwd", "link", "file:///etc/passwd", "scripts/../../secret"] {
            let error = fetcher.fetch(bad, None).expect_err(bad);
            assert!(matches!(error, BuildError::Input { .. }), "{bad}: {error}");
        }
    }

    #[test]
    fn a_checksum_that_does_not_match_is_an_error_with_both_digests() {
        let folder = tempfile::tempdir().expect("temporary folder");
        std::fs::write(folder.path().join("a"), "a").expect("write");
        let wrong = "0".repeat(64);
        let text = fetcher(folder.path()).fetch("a", Some(&wrong)).expect_err("mismatch").to_string();
        assert!(text.contains(&wrong) && text.contains(&sha256(b"a")), "{text}");
    }

    /// A server that refuses every request, and the first line of each.
    fn refusing() -> (SocketAddr, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a server");
        let address = listener.local_addr().expect("an address");
        let (tell, heard) = channel();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(&stream).lines().map_while(std::io::Result::ok);
                let _ = tell.send(lines.next().unwrap_or_default());
                let _ = lines.take_while(|line| !line.is_empty()).count();
                let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
            }
        });
        (address, heard)
    }

    #[test]
    fn the_proxy_is_asked_for_what_it_leads_to() {
        let ((site, at_site), (proxy, at_proxy)) = (refusing(), refusing());
        let fetch = |no_proxy: &str| {
            let proxy = format!("http://{proxy}");
            let upstream: UpstreamProxy = proxy.parse().expect("an address");
            let outbound = Outbound {
                upstream_proxy: Some(upstream.except(NoProxy::new(no_proxy))),
                proxy_address: Some(proxy),
                ..Outbound::default()
            };
            let fetcher = Fetcher::new(None, &outbound, &Cancel::new()).expect("fetcher");
            fetcher.fetch(&format!("http://{site}/x"), None).expect_err("refused");
        };
        fetch(&site.to_string());
        assert_eq!(at_site.try_recv().as_deref(), Ok("GET /x HTTP/1.1"));
        fetch("192.0.2.1");
        assert_eq!(at_proxy.try_recv().as_deref(), Ok(&*format!("CONNECT {site} HTTP/1.1")));
        assert!(at_site.try_recv().is_err() && at_proxy.try_recv().is_err());
    }

    #[test]
    fn the_remote_of_an_address_has_its_port() {
        assert_eq!(remote_of("https://get.example.org/x"), Some(("get.example.org".into(), 443)));
        assert_eq!(remote_of("http://u:p@Host.example:8080?q"), Some(("host.example".into(), 8080)));
    }
}
