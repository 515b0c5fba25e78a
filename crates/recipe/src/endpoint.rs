//! A name and a port that a build contacts.

use std::fmt;

/// A host name and a TCP port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// The host's name in lower case, or its address.
    pub name: String,
    /// The port, 1 to 65535.
    pub port: u16,
}

impl Endpoint {
    /// Reads `name:port`. A name is made of letters, digits, `-`, `.` and `_`; a first label `*` stands for
    /// any.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, port) = text.rsplit_once(':')?;
        let bare = name.strip_prefix("*.").unwrap_or(name);
        let label = |label: &str| {
            !label.is_empty()
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let port = port.parse().ok().filter(|&port| port > 0 && !text.ends_with(&format!("+{port}")))?;
        bare.split('.').all(label).then(|| Self { name: name.to_ascii_lowercase(), port })
    }

    /// The endpoint that an `http` or `https` URI names.
    pub fn of_uri(uri: &str) -> Option<Self> {
        let (scheme, rest) = uri.split_once("://")?;
        let port = match scheme.to_ascii_lowercase().as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let authority = rest.split(['/', '?', '#']).next()?;
        let host = authority.rsplit('@').next()?;
        Self::parse(host).or_else(|| Self::parse(&format!("{host}:{port}")))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_from_text_and_uris() {
        let shown = |endpoint: Option<Endpoint>| endpoint.map(|endpoint| endpoint.to_string());
        assert_eq!(shown(Endpoint::parse("Tools.Example.com:443")), Some("tools.example.com:443".into()));
        assert_eq!(shown(Endpoint::parse("*.example.com:80")), Some("*.example.com:80".into()));
        for wrong in [
            "example.com",
            "example.com:0",
            "example.com:+80",
            "example.com:65536",
            ":443",
            "a..b:1",
            "a b:1",
        ] {
            assert_eq!(Endpoint::parse(wrong), None, "{wrong}");
        }
        assert_eq!(shown(Endpoint::of_uri("https://example.com/a:1/b")), Some("example.com:443".into()));
        assert_eq!(shown(Endpoint::of_uri("HTTP://u@example.com:8080?x")), Some("example.com:8080".into()));
        assert_eq!(Endpoint::of_uri("files/setup.sh"), None);
    }
}
