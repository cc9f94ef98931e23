//! Figures as people read them, the same everywhere.

/// `1 request`, `2 requests`, with separators of thousands.
pub fn count_of(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {what}{plural}", grouped(count))
}

/// Groups of three digits: `12,345`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Seconds, to three digits: `245 µs`, `2.45 ms`, `1.02 s`.
pub fn time(seconds: f64) -> String {
    let (value, unit) = match seconds {
        0.0 => return "0 s".to_owned(),
        ..0.000_999_5 => (seconds * 1e6, "µs"),
        ..0.999_5 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    match value {
        ..9.995 => format!("{value:.2} {unit}"),
        ..99.95 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

/// A share of 0 to 1: `33.34 %`.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_fitting_unit() {
        let times = [0.000_007_1, 0.000_245, 0.002_447, 0.0115, 0.999_4, 0.999_9, 12.345, 250.0];
        let expected = ["7.10 µs", "245 µs", "2.45 ms", "11.5 ms", "999 ms", "1.00 s", "12.3 s", "250 s"];
        assert_eq!(times.map(time), expected);
    }

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!([0, 999, 1_000, 48_120, 1_000_000].map(grouped), ["0", "999", "1,000", "48,120", "1,000,000"]);
        assert_eq!([1, 2_000].map(|count| count_of(count, "request")), ["1 request", "2,000 requests"]);
    }
}
