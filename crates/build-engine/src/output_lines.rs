//! What a sandbox prints, line by line, and no more of it than a log can hold.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::SyncSender;

use crate::event::Stream;

/// Bytes of a stream that are passed on as they come, counting what a log adds to each line.
const PASSED_ON: u64 = 16 << 20;
/// What a log adds to a line, in bytes.
const PER_LINE: u64 = 100;
/// Bytes of the end that are passed on of a longer stream.
const END: usize = 64 << 10;
/// Bytes after which a line comes in parts.
const LONGEST: u64 = 1 << 20;

/// Sends a stream's lines, without their ends, until it closes. What is not UTF-8 is replaced. Of a stream that is
/// too long for a log, the middle is left out, and a line says how much that was.
pub fn send_lines(
    pipe: Option<impl Read + Send + 'static>,
    stream: Stream,
    sender: SyncSender<(Stream, String)>,
) {
    let Some(pipe) = pipe else { return };
    std::thread::spawn(move || {
        // That nobody listens any more is no error of the stream's.
        let _ = pass_on(&mut BufReader::with_capacity(END, pipe), &mut |line| {
            sender.send((stream, line)).map_err(std::io::Error::other)
        });
    });
}

fn pass_on(
    reader: &mut impl BufRead,
    send: &mut dyn FnMut(String) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut line = Vec::new();
    let mut passed = 0;
    while passed < PASSED_ON {
        line.clear();
        let length = reader.take(LONGEST).read_until(b'\n', &mut line)? as u64;
        if length == 0 {
            return Ok(());
        }
        send(text(&line))?;
        passed += length + PER_LINE;
    }
    if reader.fill_buf()?.is_empty() {
        return Ok(());
    }
    send("[this is too much output: from here on, only its end is shown]".to_owned())?;
    let (left_out, end) = end_of(reader)?;
    send(format!("[{left_out} bytes of output left out]"))?;
    end.split_inclusive(|byte| *byte == b'\n').try_for_each(|line| send(text(line)))
}

/// The last lines of a stream, and how many bytes come before them.
fn end_of(reader: &mut impl BufRead) -> std::io::Result<(u64, Vec<u8>)> {
    let (mut end, mut left_out) = (Vec::new(), 0);
    loop {
        let some = reader.fill_buf()?;
        if some.is_empty() {
            break;
        }
        end.extend_from_slice(some);
        let length = some.len();
        reader.consume(length);
        if end.len() > 2 * END {
            left_out += end.drain(..end.len() - END).len() as u64;
        }
    }
    let too_many = end.len().saturating_sub(END);
    let newline = end[too_many..].iter().position(|byte| *byte == b'\n');
    // The first line is none of its own: its begin was passed on or left out.
    let begin = newline.map_or(too_many, |at| too_many + at + 1);
    left_out += end.drain(..begin).len() as u64;
    Ok((left_out, end))
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim_end_matches(['\n', '\r']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut printed: impl BufRead) -> Vec<String> {
        let mut lines = Vec::new();
        let mut keep = |line| {
            lines.push(line);
            Ok(())
        };
        pass_on(&mut printed, &mut keep).expect("read");
        lines
    }

    #[test]
    fn lines_come_as_they_are_and_a_long_one_in_parts() {
        assert_eq!(lines(&b"one\r\n\n\xff\nlast"[..]), ["one", "", "\u{fffd}", "last"]);
        let long = vec![b'x'; 3 << 19];
        assert_eq!(lines(&long[..]).iter().map(String::len).collect::<Vec<_>>(), [1 << 20, 1 << 19]);
    }

    #[test]
    fn every_byte_of_a_flood_is_shown_or_counted_and_its_last_lines_are_shown() {
        let mut flood = b"spam\n".repeat(1 << 20);
        flood.extend(b"the end\nof it");
        let lines = lines(&flood[..]);
        assert_eq!(lines[lines.len() - 2..], ["the end", "of it"]);
        let said = lines.iter().find_map(|line| line.strip_suffix(" bytes of output left out]"));
        let left_out: usize = said.expect("it says so")[1..].parse().expect("a number");
        let shown: usize =
            lines.iter().filter(|line| !line.starts_with('[')).map(|line| line.len() + 1).sum();
        // The very last line has no end.
        assert_eq!(shown - 1 + left_out, flood.len());
        assert!(lines.len() < 200_000);
    }

    #[test]
    fn a_flood_without_line_ends_is_bounded_too() {
        let lines = lines(&vec![b'x'; 40 << 20][..]);
        assert!(lines.len() < 20, "{}", lines.len());
        assert!(lines[lines.len() - 2].ends_with("bytes of output left out]"));
        assert_eq!(lines[lines.len() - 1].len(), END);
    }
}
