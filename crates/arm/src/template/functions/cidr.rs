//! Functions of address ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use document::quote;

use super::{Function, Made, Run, integer, text};
use crate::template::fault::Fault;
use crate::template::value::{Data, Field, Val};

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    Function { name: "cidrHost", arity: (2, 2), does: "the usable address of a range by its place, from 0", run: Run::Whole(host) },
    Function { name: "cidrSubnet", arity: (3, 3), does: "the range of a new length inside another by its place, from 0", run: Run::Whole(subnet) },
    Function { name: "parseCidr", arity: (1, 1), does: "network, netmask, broadcast, first and last usable address and length of a range", run: Run::Whole(parse) },
];

/// A range: its first address as a number, the length of its prefix, and the length of an address.
#[derive(Clone, Copy)]
struct Range {
    first: u128,
    length: u32,
    bits: u32,
}

fn range(text: &str) -> Result<Range, Fault> {
    let wrong = || {
        Fault::argument(format!("{} is no address range", quote(text))).expecting("such as `10.240.0.0/16`")
    };
    let (address, length) = text.split_once('/').ok_or_else(wrong)?;
    let (number, bits) = match address.parse().map_err(|_| wrong())? {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let length = length.parse().ok().filter(|length| *length <= bits).ok_or_else(wrong)?;
    Ok(Range { first: number & mask(length, bits), length, bits })
}

/// The addresses of a range less one.
fn span(length: u32, bits: u32) -> u128 {
    1_u128.checked_shl(bits - length).map_or(u128::MAX, |size| size - 1)
}

fn mask(length: u32, bits: u32) -> u128 {
    span(0, bits) & !span(length, bits)
}

fn shown(number: u128, bits: u32) -> String {
    match u32::try_from(number) {
        Ok(number) if bits == 32 => Ipv4Addr::from(number).to_string(),
        _ => Ipv6Addr::from(number).to_string(),
    }
}

/// The first and the last address that a host may have.
fn usable(range: Range) -> (u128, u128) {
    let last = range.first + span(range.length, range.bits);
    if range.bits == 32 && range.length <= 30 { (range.first + 1, last - 1) } else { (range.first, last) }
}

fn parse(values: &[Val]) -> Made {
    let range = range(text(&values[0])?)?;
    let Range { first, length, bits } = range;
    let (from, to) = usable(range);
    let address = |number| Val::text(shown(number, bits));
    let mut members =
        vec![Field::new("network", address(first)), Field::new("netmask", address(mask(length, bits)))];
    if bits == 32 {
        members.push(Field::new("broadcast", address(first + span(length, bits))));
    }
    members.push(Field::new("firstUsable", address(from)));
    members.push(Field::new("lastUsable", address(to)));
    members.push(Field::new("cidr", Val::new(Data::Integer(length.into()))));
    Val::object(members)
}

fn subnet(values: &[Val]) -> Made {
    let range = range(text(&values[0])?)?;
    let wanted = integer(&values[1])?;
    let length = u32::try_from(wanted).ok().filter(|length| (range.length..=range.bits).contains(length));
    let length = length.ok_or_else(|| {
        Fault::argument(format!("the range has no subnet of length {wanted}"))
            .expecting(format!("{} to {}", range.length, range.bits))
    })?;
    let last = span(range.bits - (length - range.length), range.bits);
    let index = u128::try_from(integer(&values[2])?).ok().filter(|index| *index <= last);
    let index = index
        .ok_or_else(|| Fault::argument("the range has no such subnet").expecting(format!("0 to {last}")))?;
    let first = range.first + index.checked_shl(range.bits - length).unwrap_or(0);
    Ok(Val::text(format!("{}/{length}", shown(first, range.bits))))
}

fn host(values: &[Val]) -> Made {
    let range = range(text(&values[0])?)?;
    let (from, to) = usable(range);
    // The first address of a version 6 range is left out, too, as documented.
    let from = if range.bits == 128 && range.length < 127 { from + 1 } else { from };
    let index = u128::try_from(integer(&values[1])?).ok().filter(|index| *index <= to - from);
    let index = index.ok_or_else(|| {
        Fault::argument("the range has no such address").expecting(format!("0 to {}", to - from))
    })?;
    Ok(Val::text(shown(from + index, range.bits)))
}
