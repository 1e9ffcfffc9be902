//! The client ports over HTTP, against the whole program: every service is reached where the one-process listener has it, with
//! wallet's token, and what is asked again is known there.

use std::sync::Arc;

use contracts::clients::{
    Auth as _, Balance as _, BcGateway as _, ClientError, ExchangeCommand, Exchanger as _, Notification as _,
    NotifyCommand, Side, Submission, WithdrawCommand,
};
use contracts::messages::Step;
use contracts::{Amount, Asset, OrderId, ServiceName, SystemEntropy, UserId};
use test_kit::api::placed;
use test_kit::system::{TestSystem, service_token};
use transport::http::{HttpAuth, HttpBalance, HttpBcGateway, HttpExchanger, HttpNotification, Options, Peer};

fn peer(system: &TestSystem, service: ServiceName, caller: ServiceName) -> Peer {
    let address = format!("{}/{service}", system.internal);
    let entropy = Arc::new(SystemEntropy);
    Peer::try_new(service, &address, &service_token(caller), Options::default(), entropy).unwrap()
}

#[tokio::test]
async fn what_was_done_in_one_process_is_known_to_clients_of_another() {
    let system = TestSystem::start().await;
    let ada = system.api.given_a_user_with("ada", "600").await;
    let order = placed(&ada.buy("30", None).await);
    ada.order_at_its_end(order).await;
    system.mail_about(order).await;
    let way_to = |service| peer(&system, service, ServiceName::Wallet);
    let (user, order_id) = (UserId::try_new(2).unwrap(), OrderId::FIRST);
    let (fiat, crypto) = (
        Amount::parse("30", Asset::USD).unwrap(),
        Amount::parse("3", Asset::BTC).unwrap(),
    );
    let replayed = vec![Submission::Accepted { replayed: true }];

    let auth = HttpAuth(way_to(ServiceName::Auth));
    assert_eq!(auth.user(user).await.unwrap().unwrap().username, "ada");
    assert_eq!(auth.jwks().await.unwrap().keys.len(), 1);

    let balance = HttpBalance(way_to(ServiceName::Balance));
    let wallet = balance.wallet(user).await.unwrap().unwrap();
    assert_eq!(wallet.balances, [crypto, Amount::parse("570", Asset::USD).unwrap()]);
    assert!(!balance.statement(user, None, 100).await.unwrap().unwrap().is_empty());

    let exchanger = HttpExchanger(way_to(ServiceName::Exchanger));
    let command = ExchangeCommand {
        order_id,
        acquirer_user_id: user,
        side: Side::Buy,
        asset: Asset::BTC,
        currency: Asset::USD,
        amount: fiat,
        compensate: false,
    };
    assert_eq!(exchanger.submit(vec![command]).await.unwrap(), replayed);
    assert_eq!(
        exchanger.view(order_id, Step::Exchange).await.unwrap().unwrap().state,
        "done"
    );

    let gateway = HttpBcGateway(way_to(ServiceName::BcGateway));
    let command = WithdrawCommand {
        order_id,
        source_user_id: UserId::HOT_WALLET,
        acquirer_user_id: user,
        amount: crypto,
        compensate: false,
    };
    assert_eq!(gateway.submit(vec![command]).await.unwrap(), replayed);
    assert_eq!(
        gateway.view(order_id, Step::Withdraw).await.unwrap().unwrap().state,
        "done"
    );

    let notification = HttpNotification(way_to(ServiceName::Notification));
    let other = NotifyCommand {
        order_id,
        email: "ada@example.com".to_owned(),
        payload: "Something else".to_owned(),
    };
    assert_eq!(notification.submit(vec![other]).await.unwrap(), [Submission::Conflict]);
    assert_eq!(system.mails(), 1);
    system.assert_at_rest();
}

#[tokio::test]
async fn who_calls_whom_is_kept_to() {
    let system = TestSystem::start().await;
    let user = UserId::try_new(2).unwrap();
    for caller in ServiceName::ALL {
        let way_to = |service| peer(&system, service, caller);
        let told = |answer: Result<(), ClientError>| match answer {
            Ok(()) => true,
            Err(ClientError::Denied(_)) => false,
            Err(error) => panic!("{caller}: {error}"),
        };
        let reads_wallets = told(HttpBalance(way_to(ServiceName::Balance)).wallet(user).await.map(drop));
        let reads_users = told(HttpAuth(way_to(ServiceName::Auth)).user(user).await.map(drop));
        let view = HttpExchanger(way_to(ServiceName::Exchanger))
            .view(OrderId::FIRST, Step::Exchange)
            .await;
        let notify = HttpNotification(way_to(ServiceName::Notification))
            .submit(vec![nothing()])
            .await;
        let is_wallet = caller == ServiceName::Wallet;
        let books = matches!(
            caller,
            ServiceName::Wallet | ServiceName::Exchanger | ServiceName::BcGateway
        );
        assert_eq!((reads_wallets, reads_users), (books, is_wallet), "{caller}");
        assert_eq!(
            (told(view.map(drop)), told(notify.map(drop))),
            (is_wallet, is_wallet),
            "{caller}"
        );
    }
    system.assert_at_rest();
}

/// A message that makes no sense, so that nothing is sent.
fn nothing() -> NotifyCommand {
    NotifyCommand {
        order_id: OrderId::FIRST,
        email: String::new(),
        payload: String::new(),
    }
}
