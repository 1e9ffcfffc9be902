//! Mail by SMTP, of the real program to a real mail server: what arrives there, how often, and what a refusal leads to.

use serde_json::{Value, json};
use tempfile::TempDir;
use test_kit::api::placed;
use test_kit::process::Program;
use test_kit::waiting::{PATIENCE, eventually};

use crate::program::{assert_one_line, cambist};
use crate::server::MailServer;

fn mailing(folder: &TempDir, server: &MailServer) -> Program {
    let url = format!("smtp://127.0.0.1:{}", server.port);
    cambist(folder).with_flags(["--smtp-url", &url, "--mail-from", "Cambist <orders@cambist.example>"])
}

/// What the audit says, when every mail has met its end; the books balance in any case.
async fn audit_when_all_mail_has_gone(program: &Program) -> Value {
    eventually(PATIENCE, "all mail has met its end", async || {
        let (code, out, err) = program.run(&["audit", "--json"]).await;
        assert_eq!(code, Some(0), "{out}{err}");
        let report: Value = serde_json::from_str(&out).unwrap();
        if report["notifications_on_their_way"] == 0 {
            Ok(report)
        } else {
            Err(report)
        }
    })
    .await
}

#[tokio::test]
async fn a_buy_is_one_mail_that_says_what_was_bought() {
    let mut server = MailServer::plain().await;
    let folder = tempfile::tempdir().unwrap();
    let program = mailing(&folder, &server);
    let running = program.up().await;
    let user = running.api.given_a_user_with("ada", "600").await;
    let buy = placed(&user.buy("30", None).await);
    let mail = server.taken().await;
    assert_eq!(
        (mail.sender.as_str(), &*mail.receivers),
        ("orders@cambist.example", &["ada@example.com".to_owned()][..])
    );
    assert_eq!(mail.header("From"), "Cambist <orders@cambist.example>");
    assert_eq!(mail.header("To"), "ada@example.com");
    assert_eq!(mail.header("Subject"), "You bought 3 BTC for 30 USD");
    let id = mail.header("Message-ID");
    assert!(
        id.starts_with(&format!("<order-{buy}.")) && id.ends_with("@cambist.example>"),
        "{id}"
    );
    for words in [
        "\r\nYou paid 30 USD. There was no fee.\r\n",
        "\r\nThe price was 10 USD for 1 BTC.\r\n",
        "\r\nThis was your order number 1.\r\n",
        "<p>This was your order number 1.</p>",
    ] {
        assert!(mail.data.contains(words), "{words:?} is not in\n{}", mail.data);
    }
    assert_eq!(user.order_at_its_end(buy).await["status"], "completed");
    let report = audit_when_all_mail_has_gone(&program).await;
    assert_eq!(report["needs_operator"]["notifications_not_delivered"], 0, "{report}");
    assert_eq!(running.terminate().await, Some(0));
    assert!(server.end().await.is_empty(), "a second mail");
    assert!(!folder.path().join("data/mail").exists(), "mail goes one way only");
}

#[tokio::test]
async fn dying_before_the_server_s_answer_repeats_the_mail_once_with_the_same_id() {
    let mut server = MailServer::start(json!({"answers": {"ada@example.com": ["hold", "250"]}})).await;
    let folder = tempfile::tempdir().unwrap();
    let program = mailing(&folder, &server);
    let running = program.up().await;
    let user = running.api.given_a_user_with("ada", "600").await;
    assert_eq!(placed(&user.buy("30", None).await), 1);
    // The server has the mail, and will never say so.
    let first = server.taken().await;
    running.kill().await;
    let running = program.up().await;
    let second = server.taken().await;
    assert_eq!(first.header("Message-ID"), second.header("Message-ID"));
    assert_eq!(first.data, second.data);
    assert_ne!(
        first.session, second.session,
        "a connection does not outlive its process"
    );
    audit_when_all_mail_has_gone(&program).await;
    assert_eq!(running.terminate().await, Some(0));
    assert_eq!(program.up().await.terminate().await, Some(0));
    assert!(server.end().await.is_empty(), "a third mail");
}

#[tokio::test]
async fn a_refused_mail_changes_nothing_about_the_order_and_is_counted() {
    let server = MailServer::start(json!({"answers": {"ada@example.com": ["550 5.1.1 no such user"]}})).await;
    let folder = tempfile::tempdir().unwrap();
    let program = mailing(&folder, &server);
    let running = program.up().await;
    let user = running.api.given_a_user_with("ada", "600").await;
    let buy = placed(&user.buy("30", None).await);
    assert_eq!(user.order_at_its_end(buy).await["status"], "completed");
    let report = audit_when_all_mail_has_gone(&program).await;
    assert_eq!(report["needs_operator"]["notifications_not_delivered"], 1, "{report}");
    assert_eq!(running.terminate().await, Some(0));
    assert!(program.log().contains("no such user"), "{}", program.log());
    assert!(server.end().await.is_empty());
}

#[tokio::test]
async fn mail_settings_that_make_no_sense_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let with = |name: &str, value: &str| cambist(&folder).with(name, value);
    let url = "smtp://ada:hunter2@mail.example.com";
    let run = with("CAMBIST_SMTP_URL", url).run(&["up"]).await;
    assert_one_line(&run, &["CAMBIST_SMTP_URL", "?tls=required"]);
    assert!(!run.2.contains("hunter2"), "{}", run.2);
    let program = with("CAMBIST_SMTP_URL", "smtps://mail.example.com");
    let run = program
        .clone()
        .with("CAMBIST_SMTP_CA_FILE", "nowhere.pem")
        .run(&["up"])
        .await;
    assert_one_line(&run, &["smtp_ca_file", "nowhere.pem"]);
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    let run = program.with("CAMBIST_SMTP_CA_FILE", "empty.pem").run(&["up"]).await;
    assert_one_line(&run, &["smtp_ca_file", "no certificates"]);
    let run = with("CAMBIST_MAIL_FROM", "nobody").run(&["up"]).await;
    assert_one_line(&run, &["mail_from", "nobody"]);
    let (code, out, _) = with("CAMBIST_SMTP_URL", "smtps://ada:hunter2@mail.example.com")
        .run(&["config"])
        .await;
    assert_eq!(code, Some(0));
    assert!(
        out.contains("smtps://ada:[secret]@mail.example.com") && !out.contains("hunter2"),
        "{out}"
    );
}
