//! Content negotiation (RFC 9110, section 12.5.1): which of the media types we have is the one the client wants.

use ::http::HeaderMap;
use ::http::header::ACCEPT;

use crate::problem::{Problem, ProblemCode};

/// The weight of a media range without `q`, in thousandths.
const FULL: u16 = 1_000;

/// The media type out of `offers`, ours first, that the `Accept` header prefers. Without the header, and with equal
/// weights, it is the first that fits. Parts of the header that make no sense are passed over.
///
/// # Errors
/// 406 when none is wanted; its detail names all that there are.
pub fn accepted(headers: &HeaderMap, offers: &[&'static str]) -> Result<&'static str, Problem> {
    let none = || {
        let detail = format!("this can be had as {}", offers.join(" or "));
        Problem::new(ProblemCode::NotAcceptable).with_detail(detail)
    };
    let values = headers.get_all(ACCEPT).iter();
    let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    if !headers.contains_key(ACCEPT) || texts.iter().all(|text| text.trim().is_empty()) {
        return offers.first().copied().ok_or_else(none);
    }
    let ranges: Vec<Range<'_>> = texts
        .iter()
        .flat_map(|text| text.split(','))
        .filter_map(Range::parse)
        .collect();
    let mut best = None;
    for offer in offers {
        let weight = weight_of(offer, &ranges);
        if weight > best.map_or(0, |(_, weight)| weight) {
            best = Some((*offer, weight));
        }
    }
    best.map(|(offer, _)| offer).ok_or_else(none)
}

/// What the most specific range that fits says of this type; nothing when none fits.
fn weight_of(offer: &str, ranges: &[Range<'_>]) -> u16 {
    let fitting = ranges
        .iter()
        .filter_map(|range| Some((range.fits(offer)?, range.weight)));
    // Of equally specific ones the first counts.
    fitting
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map_or(0, |(_, weight)| weight)
}

/// A media range with its weight.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    weight: u16,
}

impl<'a> Range<'a> {
    /// Parameters other than the weight narrow a range to variants of a type, of which there is one each.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let mut weight = FULL;
        for parameter in parts {
            if let Some((name, value)) = parameter.split_once('=')
                && name.trim().eq_ignore_ascii_case("q")
            {
                weight = thousandths(value.trim())?;
            }
        }
        Some(Self { kind, subtype, weight })
    }

    /// How specific it is where it fits; `None` where it does not.
    fn fits(&self, offer: &str) -> Option<u8> {
        let (kind, subtype) = offer.split_once('/')?;
        match (self.kind, self.subtype) {
            ("*", "*") => Some(0),
            (own, "*") if own.eq_ignore_ascii_case(kind) => Some(1),
            (own, sub) if own.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype) => Some(2),
            _ => None,
        }
    }
}

/// A weight, `0` to `1` with three decimals at most.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let sound = matches!(whole, "0" | "1") && decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let number: u16 = sound.then(|| format!("{whole}{decimals:0<3}"))?.parse().ok()?;
    (number <= FULL).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERS: &[&str] = &["application/json", "text/csv"];

    fn chosen(accept: &[&str]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, value.parse().unwrap());
        }
        accepted(&headers, OFFERS).ok()
    }

    #[test]
    fn the_client_has_its_choice_and_ours_comes_first() {
        for (accept, expected) in [
            (vec![], Some("application/json")),
            (vec![""], Some("application/json")),
            (vec!["*/*"], Some("application/json")),
            (vec!["text/csv"], Some("text/csv")),
            (vec!["TEXT/CSV; charset=utf-8"], Some("text/csv")),
            (vec!["text/*"], Some("text/csv")),
            (vec!["application/json;q=0.5, text/csv;q=0.8"], Some("text/csv")),
            (vec!["application/json;q=0.5", "text/csv;q=0.8"], Some("text/csv")),
            (vec!["text/csv, application/json"], Some("application/json")),
            (vec!["*/*;q=0.1, text/csv"], Some("text/csv")),
            (vec!["application/json;q=0, */*;q=0.1"], Some("text/csv")),
            (
                vec!["text/html,application/xhtml+xml,*/*;q=0.8"],
                Some("application/json"),
            ),
            (vec!["application/pdf"], None),
            (vec!["text/csv;q=0"], None),
            (vec!["text/csv;q=0.000"], None),
            (vec!["text/csv;q=2"], None),
            (vec!["text/csv;q=0.0001"], None),
            (vec!["text/csv;q=-1"], None),
            (vec!["json"], None),
            (vec![",;,"], None),
        ] {
            assert_eq!(chosen(&accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_there_is() {
        let headers = HeaderMap::from_iter([(ACCEPT, "image/png".parse().unwrap())]);
        let problem = accepted(&headers, OFFERS).unwrap_err();
        assert_eq!(problem.code(), ProblemCode::NotAcceptable);
        assert_eq!(
            problem.to_json()["detail"],
            "this can be had as application/json or text/csv"
        );
    }
}
