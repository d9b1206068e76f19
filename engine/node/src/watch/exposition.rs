//! Prometheus' text format, as far as an operator's view needs it: names with their labels, and values.
//!
//! The text comes from elsewhere: what is no sample is passed by, and what is kept is bounded.

use std::collections::BTreeMap;

/// Most series that are kept of a page; a node has some hundred.
const MAX_SERIES: usize = 10_000;

/// Series of one page: name and labels as they stand there, and the value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exposition {
    series: BTreeMap<String, f64>,
}

impl Exposition {
    /// Reads a page. Lines that are no samples, values that are no finite numbers, and all that is too much are left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let samples = text.lines().filter_map(sample).take(MAX_SERIES);
        Self {
            series: samples.collect(),
        }
    }

    /// The value of a series without labels.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<f64> {
        self.series.get(name).copied()
    }

    /// The sum over all labels of a name; `None` where there is no series of it.
    #[must_use]
    pub fn sum(&self, name: &str) -> Option<f64> {
        let of_name = |key: &str| key.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
        let mut values = self
            .series
            .iter()
            .filter(|(key, _)| of_name(key) || key.as_str() == name)
            .map(|(_, value)| *value)
            .peekable();
        values.peek()?;
        Some(values.sum()).filter(|sum: &f64| sum.is_finite())
    }
}

/// `name{labels} value`, with a time stamp behind it or not.
fn sample(line: &str) -> Option<(String, f64)> {
    if line.starts_with('#') {
        return None;
    }
    // Labels may hold spaces and braces; behind the last brace there is none of either.
    let split = line
        .rfind('}')
        .map_or_else(|| line.find(' '), |brace| Some(brace + 1))?;
    let (key, rest) = line.split_at(split);
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
    (!key.is_empty() && value.is_finite()).then(|| (key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn series_are_read_with_their_labels() {
        let page = "# TYPE a gauge\na 1.5\nb{x=\"1 } 2\",y=\"z\"} 3 1700000000\nb{x=\"2\"} 4\nb_other 9\nnan NaN\n\nbroken\n";
        let page = Exposition::parse(page);
        assert_eq!(page.value("a"), Some(1.5));
        assert_eq!(page.value("b"), None);
        assert_eq!(page.sum("b"), Some(7.0));
        assert_eq!(page.sum("a"), Some(1.5));
        assert_eq!(page.value("nan"), None);
        assert_eq!(page.sum("broken"), None);
    }

    #[test]
    fn a_sum_that_is_no_number_is_none() {
        let page = Exposition::parse("m{a=\"1\"} 1e308\nm{a=\"2\"} 1e308\n");
        assert_eq!(page.sum("m"), None);
    }

    #[test]
    fn a_page_without_end_is_not_kept_without_end() {
        let page: String = (0..MAX_SERIES + 5).map(|i| format!("m{i} {i}\n")).collect();
        assert_eq!(Exposition::parse(&page).series.len(), MAX_SERIES);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "([a-z{}\"= #0-9.\\n\u{e9}-]|NaN|1e999){0,200}") {
            let page = Exposition::parse(&text);
            prop_assert!(page.series.values().all(|value| value.is_finite()));
        }
    }
}
