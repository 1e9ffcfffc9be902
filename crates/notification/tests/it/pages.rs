//! What arrives in a user's mail box, to the letter: each kind of text that `wallet` writes (the files of its own tests),
//! and one that means harm, as a whole message in `tests/it/pages`. After a change:
//! `UPDATE_REFERENCES=1 cargo test -p notification pages`.

use std::path::Path;

use notification::domain::letter::{Letter, Mail, Progress};
use notification::ports::Mailer as _;
use proptest::prelude::*;

use crate::eml::{files, mailer};
use crate::given::{noon, order};

const HARMFUL: &str = "Order 7 <script>alert('₿')</script>\n\
    right below the subject\n\n\
    <img src=\"https://example.com/seen?by=ada\"> & \"quotes\"\n  two  blanks\n\n\n\nFrom the end\n.";

fn letter_of_wallet(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../wallet/tests/it/letters/{name}.txt"));
    std::fs::read_to_string(path).unwrap()
}

fn written(payload: &str) -> Mail {
    let letter = Letter::try_new("ada@example.com".to_owned(), payload.to_owned()).unwrap();
    Mail::new(order(7), &letter, Progress::new(noon()), "example.com")
}

#[tokio::test]
async fn each_mail_reads_as_it_is_written_down() {
    let update = std::env::var_os("UPDATE_REFERENCES").is_some();
    for (name, payload) in [
        ("bought", letter_of_wallet("bought")),
        (
            "bought_in_part_with_a_fee",
            letter_of_wallet("bought_in_part_with_a_fee"),
        ),
        ("sold", letter_of_wallet("sold")),
        ("sold_in_part_with_a_fee", letter_of_wallet("sold_in_part_with_a_fee")),
        ("not_bought", letter_of_wallet("not_bought")),
        ("not_sold", letter_of_wallet("not_sold")),
        ("bought_and_undone", letter_of_wallet("bought_and_undone")),
        ("refused_late", letter_of_wallet("refused_late")),
        ("harmful", HARMFUL.to_owned()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        mailer(folder.path()).send(&written(&payload)).await;
        let (_, bytes) = files(folder.path()).pop_first().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(
            !text.replace("\r\n", "").contains(['\r', '\n']),
            "{name}: bare line ends"
        );
        let text = text.replace("\r\n", "\n");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/pages/{name}.eml"));
        if update {
            std::fs::write(&path, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            text, expected,
            "{name}: run UPDATE_REFERENCES=1 cargo test -p notification pages"
        );
    }
}

#[test]
fn the_page_says_what_the_text_says_and_nothing_in_it_is_a_tag() {
    let page = written(HARMFUL).html;
    assert!(
        page.contains("<h1 style=\"font-size: 1.2em\">Order 7 &lt;script&gt;alert(&#39;₿&#39;)&lt;/script&gt;</h1>")
    );
    assert!(page.contains("<p>right below the subject</p>"));
    let image =
        "<p>&lt;img src=&quot;https://example.com/seen?by=ada&quot;&gt; &amp; &quot;quotes&quot;<br>\ntwo  blanks</p>";
    assert!(page.contains(image), "{page}");
    assert!(page.contains("<p>From the end<br>\n.</p>"), "{page}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("CAMBIST_TEST_FULL").is_some() { 10_000 } else { 300 }))]

    /// Whatever the text: the page's tags are our own, in our order, and it is bounded.
    #[test]
    fn no_text_makes_a_tag(payload in prop_oneof![
        "[<>&\"'/a-z\n ;#]{1,200}", "\\PC{1,200}", "a(\n[^\\p{Cc}]{0,20}){1,20}",
    ]) {
        if let Ok(letter) = Letter::try_new("ada@example.com".to_owned(), payload) {
            let page = Mail::new(order(7), &letter, Progress::new(noon()), "example.com").html;
            prop_assert!(page.len() < 13 * letter.payload().len() + 1_000);
            let tags: Vec<_> = page.split('<').skip(1).map(|part| part.split('>').next().unwrap()).collect();
            let ours = [
                "!DOCTYPE html", "html lang=\"en\"", "head", "meta charset=\"utf-8\"", "title", "/title", "/head",
                "body style=\"font-family: sans-serif; line-height: 1.5; max-width: 40em\"",
                "h1 style=\"font-size: 1.2em\"", "/h1",
            ];
            prop_assert_eq!(&tags[..ours.len()], &ours[..]);
            let (between, end) = tags[ours.len()..].split_at(tags.len() - ours.len() - 2);
            prop_assert_eq!(end, ["/body", "/html"]);
            prop_assert!(between.iter().all(|tag| ["p", "/p", "br"].contains(tag)), "{:?}", between);
        }
    }
}
