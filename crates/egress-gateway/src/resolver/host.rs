//! The question to this machine's own resolver, `getaddrinfo(3)`. Aliases (CNAME records) are followed by it; what is
//! seen here are the addresses at their end.

use std::net::IpAddr;

use dns_lookup::{AddrInfo, AddrInfoHints};
use nix::libc;

use super::LookupError;

/// The addresses of `name`; blocks.
pub(super) fn ask(name: &str) -> Result<Vec<IpAddr>, LookupError> {
    let mut found = look_up(name)?;
    // What is dialled is the name that was authorised, not one that a search domain of the host made of it. The end of
    // an alias may look like that, too; a name that ends in a dot is looked up in no search domain.
    let searched =
        |full: &str| full.strip_prefix(name).is_some_and(|rest| rest.len() > 1 && rest.starts_with('.'));
    if found.iter().filter_map(|info| info.canonname.as_deref()).any(searched) {
        found = look_up(&format!("{name}."))?;
    }
    Ok(found.into_iter().map(|info| info.sockaddr.ip()).collect())
}

fn look_up(name: &str) -> Result<Vec<AddrInfo>, LookupError> {
    let hints = AddrInfoHints {
        flags: libc::AI_ADDRCONFIG | libc::AI_CANONNAME,
        socktype: libc::SOCK_STREAM,
        ..AddrInfoHints::default()
    };
    match dns_lookup::getaddrinfo(Some(name), None, Some(hints)) {
        Ok(found) => Ok(found.flatten().collect()),
        Err(error) if matches!(error.error_num(), libc::EAI_NONAME | libc::EAI_NODATA) => {
            Err(LookupError::NoSuchName)
        }
        Err(error) => Err(LookupError::Failed(std::io::Error::from(error).to_string())),
    }
}
