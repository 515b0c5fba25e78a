//! Functions of dates. The clock is not read here.

use document::quote;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::string::only_in_default;
use super::{Function, Made, Run, integer, number, text};
use crate::template::fault::Fault;
use crate::template::value::Val;

#[rustfmt::skip]
pub const FUNCTIONS: &[Function] = &[
    Function { name: "dateTimeAdd", arity: (2, 3), does: "a time after a duration of ISO 8601, in a .NET format; without a format not known, for Azure's documentation has two answers", run: Run::Whole(add) },
    Function { name: "dateTimeFromEpoch", arity: (1, 1), does: "seconds since 1970 as a time of ISO 8601", run: Run::Whole(from_epoch) },
    Function { name: "dateTimeToEpoch", arity: (1, 1), does: "a time of ISO 8601 as seconds since 1970", run: Run::Whole(|values| number(time(text(&values[0])?)?.as_second())) },
    Function { name: "utcNow", arity: (0, 1), does: "the time of the deployment; only in the default of a parameter", run: Run::Call(|call| only_in_default(call, "the time of the deployment")) },
];

fn time(text: &str) -> Result<Timestamp, Fault> {
    let wrong =
        || Fault::argument(format!("{} is no time", quote(text))).expecting("such as `2026-03-01T12:00:00Z`");
    let local = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok();
    text.parse().ok().or_else(|| local().map(|zoned| zoned.timestamp())).ok_or_else(wrong)
}

fn civil(time: Timestamp) -> DateTime {
    TimeZone::UTC.to_datetime(time)
}

fn from_epoch(values: &[Val]) -> Made {
    let seconds = integer(&values[0])?;
    let time = Timestamp::from_second(seconds)
        .map_err(|_| Fault::argument(format!("{seconds} is beyond the years that dates have")))?;
    Ok(Val::text(shown(civil(time), "yyyy-MM-ddTHH:mm:ssZ")))
}

fn add(values: &[Val]) -> Made {
    let (time, duration) = (time(text(&values[0])?)?, text(&values[1])?);
    let wrong = || {
        Fault::argument(format!("{} is no duration", quote(duration))).expecting("such as `P3Y` or `-PT9H`")
    };
    let span: Span = duration.parse().map_err(|_| wrong())?;
    let sum = civil(time).checked_add(span);
    let sum = sum.map_err(|_| Fault::argument("the time is beyond the years that dates have"))?;
    match values.get(2) {
        Some(format) => Val::made_text(shown(sum, text(format)?)),
        None => Ok(Val::unknown("`dateTimeAdd` without a format, which Azure chooses")),
    }
}

/// A time in a .NET format, standard or custom, as the invariant culture writes it.
fn shown(time: DateTime, format: &str) -> String {
    let custom = match format {
        "d" => "MM/dd/yyyy",
        "D" => "dddd, dd MMMM yyyy",
        "f" => "dddd, dd MMMM yyyy HH:mm",
        "F" => "dddd, dd MMMM yyyy HH:mm:ss",
        "g" => "MM/dd/yyyy HH:mm",
        "G" => "MM/dd/yyyy HH:mm:ss",
        "m" | "M" => "MMMM dd",
        "o" | "O" => "yyyy-MM-ddTHH:mm:ss.fffffffZ",
        "r" | "R" => "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
        "s" => "yyyy-MM-ddTHH:mm:ss",
        "t" => "HH:mm",
        "T" => "HH:mm:ss",
        "u" => "yyyy-MM-dd HH:mm:ssZ",
        "y" | "Y" => "yyyy MMMM",
        custom => custom,
    };
    let (mut out, mut rest) = (String::new(), custom);
    while let Some(letter) = rest.chars().next() {
        let run = rest.len() - rest.trim_start_matches(letter).len();
        let taken = match letter {
            '\'' | '"' => {
                let inner = &rest[1..];
                let end = inner.find(letter).unwrap_or(inner.len());
                out.push_str(&inner[..end]);
                (end + 2).min(rest.len())
            }
            '\\' => {
                let next = rest[1..].chars().next();
                out.extend(next);
                1 + next.map_or(0, char::len_utf8)
            }
            '%' => 1,
            letter if letter.is_ascii_alphabetic() && part(&mut out, time, letter, run) => run,
            letter => {
                out.push(letter);
                letter.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out
}

/// Writes a part of a time by a letter of the format, so often; false for a letter that means nothing.
fn part(out: &mut String, time: DateTime, letter: char, run: usize) -> bool {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let name = |names: &[&str], index: i8| {
        let name = usize::try_from(index - 1).ok().and_then(|index| names.get(index)).copied();
        let name = name.unwrap_or_default();
        if run == 3 { name[..3].to_owned() } else { name.to_owned() }
    };
    let digits = |number: i64| format!("{number:0>width$}", width = run.min(2));
    let hour = i64::from(time.hour());
    let written = match letter {
        'd' if run > 2 => name(&DAYS, time.weekday().to_monday_one_offset()),
        'd' => digits(time.day().into()),
        'M' if run > 2 => name(&MONTHS, time.month()),
        'M' => digits(time.month().into()),
        'y' if run < 3 => digits(i64::from(time.year()) % 100),
        'y' => format!("{:0>run$}", time.year()),
        'H' => digits(hour),
        'h' => digits((hour + 11) % 12 + 1),
        'm' => digits(time.minute().into()),
        's' => digits(time.second().into()),
        'f' | 'F' => {
            let fraction = format!("{:0>9}", time.subsec_nanosecond());
            let fraction = &fraction[..run.min(7)];
            let fraction = if letter == 'F' { fraction.trim_end_matches('0') } else { fraction };
            fraction.to_owned()
        }
        't' => ["AM", "PM"][usize::from(hour >= 12)][..run.min(2)].to_owned(),
        'K' => "Z".to_owned(),
        'z' => ["+0", "+00", "+00:00"][run.clamp(1, 3) - 1].to_owned(),
        _ => return false,
    };
    out.push_str(&written);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_dot_net_writes_them() {
        let at = civil(time("2020-04-07T14:53:14.25Z").expect("a time"));
        for (format, expected) in [
            ("d", "04/07/2020"),
            ("u", "2020-04-07 14:53:14Z"),
            ("o", "2020-04-07T14:53:14.2500000Z"),
            ("R", "Tue, 07 Apr 2020 14:53:14 GMT"),
            ("M d", "4 7"),
            ("yyyyMMddTHHmmssZ", "20200407T145314Z"),
            ("h:mm tt 'at' \\h", "2:53 PM at h"),
            ("dddd dd MMM yy", "Tuesday 07 Apr 20"),
        ] {
            assert_eq!(shown(at, format), expected, "{format}");
        }
    }
}
