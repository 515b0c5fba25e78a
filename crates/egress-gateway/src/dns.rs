//! DNS messages, pure: what a message asks, and the reply to it (RFC 1035, 2308, 6891).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{A, OPT, RData};
use simple_dns::{
    CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, ResourceRecord, TYPE,
};

use crate::name::host_name;

/// Seconds for which a client may remember an answer.
const TTL: u32 = 60;
/// Bytes of a message's header.
const HEADER: usize = 12;
/// Size of UDP replies that we announce (RFC 6891 section 6.2.3); ours are far smaller.
const UDP_SIZE: u16 = 1232;

/// What to do with a message.
pub(crate) enum Message {
    /// Not a question: no reply.
    Ignore,
    /// The reply is known without asking anyone.
    Reply(Vec<u8>),
    /// A question about a name.
    Question(Asked),
}

/// One question and what its reply must repeat.
pub(crate) struct Asked {
    id: u16,
    recursion: bool,
    edns: bool,
    question: Question<'static>,
    /// What is asked for.
    pub(crate) about: About,
}

/// What a question is about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// A name; whether its IPv4 addresses are wanted, the only records that a name has here.
    Name { name: String, addresses: bool },
    /// The name of an address.
    Reverse(Option<IpAddr>),
    /// Not a host name; printable.
    Unusable(String),
}

/// What the answer is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Address(Ipv4Addr),
    Pointer(String),
    /// The name exists, and has no record of this kind.
    NoData,
    NoSuchName,
    Failure,
}

/// Reads a message.
pub(crate) fn read(message: &[u8]) -> Message {
    let Some(header) = message.first_chunk::<HEADER>() else { return Message::Ignore };
    let counts = |index: usize| u16::from_be_bytes([header[index], header[index + 1]]);
    if header[2] & 0x80 != 0 {
        return Message::Ignore;
    }
    // The counts are checked first, so that parsing never reserves room for thousands of records.
    let plausible = counts(4) == 1 && counts(6) == 0 && counts(8) == 0 && counts(10) <= 2;
    let opcode = header[2] >> 3 & 15;
    if opcode != 0 {
        return Message::Reply(bare(header, RCODE::NotImplemented));
    }
    let packet = if plausible { Packet::parse(message).ok() } else { None };
    let Some(mut packet) = packet else { return Message::Reply(bare(header, RCODE::FormatError)) };
    let Some(question) = packet.questions.pop() else {
        return Message::Reply(bare(header, RCODE::FormatError));
    };
    if question.qclass != QCLASS::CLASS(CLASS::IN) {
        return Message::Reply(bare(header, RCODE::Refused));
    }
    let about = about(&question);
    Message::Question(Asked {
        id: packet.id(),
        recursion: packet.has_flags(PacketFlag::RECURSION_DESIRED),
        edns: packet.opt().is_some(),
        question: question.into_owned(),
        about,
    })
}

/// A reply of only a header.
fn bare(header: &[u8; HEADER], code: RCODE) -> Vec<u8> {
    let mut reply = vec![0; HEADER];
    reply[..2].copy_from_slice(&header[..2]);
    reply[2] = 0x80 | header[2] & 0x79;
    reply[3] = 0x80 | (code as u8 & 15);
    reply
}

fn about(question: &Question<'_>) -> About {
    let labels: Vec<&[u8]> = question.qname.as_bytes().collect();
    // Joining would hide a dot within a label.
    let joined = labels.iter().all(|label| !label.contains(&b'.')).then(|| labels.join(&b'.'));
    let Some(name) = joined.as_deref().and_then(host_name) else {
        return About::Unusable(labels.join(&b'.').escape_ascii().to_string());
    };
    if name.ends_with(".in-addr.arpa") || name.ends_with(".ip6.arpa") {
        return About::Reverse(reverse(&name));
    }
    let addresses = matches!(question.qtype, QTYPE::TYPE(TYPE::A) | QTYPE::ANY);
    About::Name { name, addresses }
}

/// The address that a reverse name stands for (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn reverse(name: &str) -> Option<IpAddr> {
    if let Some(v4) = name.strip_suffix(".in-addr.arpa") {
        let parts: Vec<&str> = v4.rsplit('.').collect();
        return parts.join(".").parse().ok().map(IpAddr::V4);
    }
    let nibbles: Option<Vec<u8>> = name
        .strip_suffix(".ip6.arpa")?
        .rsplit('.')
        .map(|digit| if digit.len() == 1 { u8::from_str_radix(digit, 16).ok() } else { None })
        .collect();
    let bytes: Vec<u8> =
        nibbles?.chunks(2).filter_map(|pair| Some(pair.first()? << 4 | pair.get(1)?)).collect();
    <[u8; 16]>::try_from(bytes).ok().map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)))
}

impl Asked {
    /// The reply with `answer`; `None` when it cannot be written, which a question that was read never meets.
    pub(crate) fn reply(&self, answer: &Answer) -> Option<Vec<u8>> {
        let mut packet = Packet::new_reply(self.id);
        packet.set_flags(PacketFlag::RECURSION_AVAILABLE);
        if self.recursion {
            packet.set_flags(PacketFlag::RECURSION_DESIRED);
        }
        *packet.opcode_mut() = OPCODE::StandardQuery;
        *packet.rcode_mut() = match answer {
            Answer::NoSuchName => RCODE::NameError,
            Answer::Failure => RCODE::ServerFailure,
            Answer::Address(_) | Answer::Pointer(_) | Answer::NoData => RCODE::NoError,
        };
        let data = match answer {
            Answer::Address(address) => Some(RData::A(A { address: (*address).into() })),
            Answer::Pointer(name) => Some(RData::PTR(Name::new(name).ok()?.into())),
            _ => None,
        };
        packet.questions.push(self.question.clone());
        packet
            .answers
            .extend(data.map(|data| ResourceRecord::new(self.question.qname.clone(), CLASS::IN, TTL, data)));
        if self.edns {
            *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: UDP_SIZE, version: 0 });
        }
        packet.build_bytes_vec_compressed().ok()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn query(name: &str, kind: TYPE) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        let name = Name::new_unchecked(name);
        packet.questions.push(Question::new(name, kind.into(), CLASS::IN.into(), false));
        *packet.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: 4096, version: 0 });
        packet.build_bytes_vec().unwrap()
    }

    fn asked(message: &[u8]) -> Asked {
        match read(message) {
            Message::Question(asked) => asked,
            Message::Reply(reply) => panic!("replied {reply:?}"),
            Message::Ignore => panic!("ignored"),
        }
    }

    #[test]
    fn a_question_is_read_and_its_reply_repeats_it() {
        let asked = asked(&query("Archive.Example.COM", TYPE::A));
        assert_eq!(asked.about, About::Name { name: "archive.example.com".into(), addresses: true });
        let bytes = asked.reply(&Answer::Address(Ipv4Addr::new(198, 18, 0, 1))).unwrap();
        let reply = Packet::parse(&bytes).unwrap();
        assert_eq!((reply.id(), reply.rcode()), (7, RCODE::NoError));
        assert!(reply.has_flags(PacketFlag::RESPONSE | PacketFlag::RECURSION_AVAILABLE));
        assert!(reply.opt().is_some());
        assert_eq!(
            reply.questions[0].qname.to_string(),
            "Archive.Example.COM",
            "a client may check the case"
        );
        assert_eq!(reply.answers.len(), 1);
        assert!(matches!(&reply.answers[0].rdata, RData::A(a) if a.address == 0xc612_0001));
    }

    #[test]
    fn the_other_answers() {
        let asked = asked(&query("a.example.com", TYPE::AAAA));
        assert_eq!(asked.about, About::Name { name: "a.example.com".into(), addresses: false });
        for (answer, code) in [
            (Answer::NoData, RCODE::NoError),
            (Answer::NoSuchName, RCODE::NameError),
            (Answer::Failure, RCODE::ServerFailure),
        ] {
            let bytes = asked.reply(&answer).unwrap();
            let reply = Packet::parse(&bytes).unwrap();
            assert_eq!((reply.rcode(), reply.answers.len()), (code, 0));
        }
        let pointer = asked.reply(&Answer::Pointer("b.example.com".into())).unwrap();
        assert_eq!(Packet::parse(&pointer).unwrap().answers.len(), 1);
    }

    #[test]
    fn addresses_are_read_backwards() {
        let about = |name| asked(&query(name, TYPE::PTR)).about;
        assert_eq!(about("1.0.18.198.in-addr.arpa"), About::Reverse(Some("198.18.0.1".parse().unwrap())));
        assert_eq!(about("x.0.18.198.in-addr.arpa"), About::Reverse(None));
        assert_eq!(about("1.18.198.in-addr.arpa"), About::Reverse(None));
        let v6 = format!("9.{}8.b.d.0.1.0.0.2.ip6.arpa", "0.".repeat(23));
        assert_eq!(about(&v6), About::Reverse(Some("2001:db8::9".parse().unwrap())));
    }

    #[test]
    fn what_is_not_a_plain_question() {
        let good = query("a.example.com", TYPE::A);
        let with = |position: usize, byte: u8| {
            let mut message = good.clone();
            message[position] = byte;
            message
        };
        let code = |message: &[u8]| match read(message) {
            Message::Reply(reply) => reply[3] & 15,
            Message::Ignore => panic!("ignored"),
            Message::Question(asked) => panic!("{:?}", asked.about),
        };
        assert!(matches!(read(&with(2, 0x80)), Message::Ignore), "a reply is no question");
        assert!(matches!(read(&good[..11]), Message::Ignore));
        assert_eq!(code(&with(2, 5 << 3)), 4, "an update");
        assert_eq!(code(&with(5, 2)), 1, "two questions");
        assert_eq!(code(&with(4, 255)), 1, "thousands of questions");
        assert_eq!(code(&with(12, 200)), 1, "a label of a length that does not exist");
        let class = good.len() - 11 - 1;
        assert_eq!(code(&with(class, 3)), 5, "another class");
    }

    #[test]
    fn a_name_that_no_host_has_is_unusable() {
        let label = simple_dns::Label::new(&b"a.b"[..]).unwrap();
        let mut packet = Packet::new_query(1);
        let name = Name::new_with_labels(&[label, simple_dns::Label::new(&b"\xff"[..]).unwrap()]);
        packet.questions.push(Question::new(name, TYPE::A.into(), CLASS::IN.into(), false));
        let about = asked(&packet.build_bytes_vec().unwrap()).about;
        assert_eq!(about, About::Unusable("a.b.\\xff".into()));
    }

    #[test]
    fn truncated_and_changed_messages_never_panic() {
        let good = query("a.example.com", TYPE::A);
        for position in 0..good.len() {
            read(&good[..position]);
            for value in 0..=255 {
                let mut message = good.clone();
                message[position] = value;
                if let Message::Question(asked) = read(&message) {
                    asked.reply(&Answer::NoData);
                }
            }
        }
    }
}
