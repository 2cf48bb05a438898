//! Durations as Go writes them (`1h15m30.5s`), which the go-syncer protocol uses.

use std::num::ParseIntError;

/// The units of Go's `time.ParseDuration` in nanoseconds; longer names before their prefixes.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Parses a Go duration into nanoseconds: an optional sign, then decimal numbers with units.
///
/// `None` if it is none, or does not fit 63 bits (292 years), as in Go.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let nanos = match unsigned {
        "0" => 0,
        "" => return None,
        parts => parse_parts(parts)?,
    };
    i64::try_from(if text.starts_with('-') { -nanos } else { nanos }).ok()
}

fn parse_parts(mut rest: &str) -> Option<i128> {
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (number, tail) = split_off(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, tail) = split_off(tail, |c| !c.is_ascii_digit() && c != '.');
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, i128::from(*scale))?)?;
        rest = tail;
    }
    Some(total)
}

/// Splits `text` behind its longest beginning of such characters.
fn split_off(text: &str, matches: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !matches(c)).unwrap_or(text.len()))
}

/// Multiplies a decimal number, such as `1.5`, `.5` or `1.`, and cuts off below a nanosecond, where Go
/// rounds in floats.
fn scaled(number: &str, scale: i128) -> Option<i128> {
    /// More digits than any unit has nanoseconds.
    const FRACTION_DIGITS: usize = 18;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS)];
    let (whole, parts) = (digits(whole).ok()?, digits(fraction).ok()?);
    let whole = i128::from(whole).checked_mul(scale)?;
    Some(whole + i128::from(parts) * scale / 10_i128.pow(fraction.len() as u32))
}

fn digits(text: &str) -> Result<u64, ParseIntError> {
    if text.is_empty() { Ok(0) } else { text.parse() }
}

#[cfg(test)]
mod tests {
    use super::parse;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn what_go_reads_is_read_the_same() {
        let cases = [
            ("0", 0),
            ("+0", 0),
            ("5s", 5 * SECOND),
            ("30s", 30 * SECOND),
            ("1478s", 1478 * SECOND),
            ("-5s", -5 * SECOND),
            ("+5s", 5 * SECOND),
            ("5.0s", 5 * SECOND),
            ("5.6s", 5_600_000_000),
            ("5.s", 5 * SECOND),
            (".5s", SECOND / 2),
            ("100.00100s", 100 * SECOND + 1_000_000),
            ("10ns", 10),
            ("11us", 11_000),
            ("12\u{b5}s", 12_000),
            ("12\u{3bc}s", 12_000),
            ("13ms", 13_000_000),
            ("15m", 900 * SECOND),
            ("16h", 16 * 3600 * SECOND),
            ("3h30m", 12_600 * SECOND),
            ("10.5s4m", 250 * SECOND + SECOND / 2),
            ("-2m3.4s", -(123 * SECOND + 400_000_000)),
            ("1h2m3s4ms5us6ns", 3723 * SECOND + 4_005_006),
            ("0.000000000000000000000001h", 0),
            ("9223372036854775807ns", i64::MAX),
        ];
        for (text, nanos) in cases {
            assert_eq!(parse(text), Some(nanos), "{text}");
        }
    }

    #[test]
    fn what_go_does_not_read_is_not_read() {
        let cases = [
            "",
            "3",
            "-",
            "s",
            ".",
            "-.",
            ".s",
            "+.s",
            "1d",
            "1S",
            "1 s",
            " 1s",
            "1s ",
            "--1s",
            "1..5s",
            "1.5.5s",
            "1e3s",
            "\u{661}s",
            "9223372036854775808ns",
            "9223372036854775.808us",
            "9223372036854ms775us808ns",
            "3000000h",
            "99999999999999999999999s",
            "1s\u{0}",
            "h1",
        ];
        for text in cases {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
