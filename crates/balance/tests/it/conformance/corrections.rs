//! What every store must do about corrections by hand and the first capital.

use balance::domain::{Adjusted, Adjustment, Capital, Funding, RequestKey};
use balance::ports::LedgerStore;
use contracts::ledger::{Owner, Refusal};
use contracts::{Amount, Asset};

use super::{balances, post, rich};
use crate::given::{POSTED, at, btc, hold, pay_in, usd, user, wallet_of};

conformance! {
    a_wallet_is_adjusted_up_and_down;
    an_adjustment_is_all_or_nothing;
    an_adjustment_with_a_known_key_answers_as_the_first_time;
    a_refused_adjustment_leaves_its_key_free;
    the_hot_wallet_is_funded_once;
    capital_that_makes_no_sense_is_refused;
}

fn adjustment(number: i64, fiat: Option<&str>, crypto: Option<&str>, key: Option<&str>) -> Adjustment {
    let fingerprint = [u8::try_from(fiat.map_or(0, str::len)).unwrap(); 32];
    Adjustment {
        user: user(number),
        fiat: fiat.map(usd),
        crypto: crypto.map(btc),
        reason: "goodwill".to_owned(),
        actor: "operator:ann".to_owned(),
        request: key.map(|key| RequestKey {
            key: key.to_owned(),
            fingerprint,
        }),
    }
}

fn booked(adjusted: Adjusted) -> (i64, Vec<Amount>, bool) {
    match adjusted {
        Adjusted::Booked { id, wallet, replayed } => (id, wallet.balances, replayed),
        other @ (Adjusted::KeyReused | Adjusted::Refused(_)) => panic!("{other:?}"),
    }
}

async fn adjust(ledger: &dyn LedgerStore, adjustment: Adjustment) -> Adjusted {
    ledger.adjust(at(3), adjustment).await.unwrap()
}

async fn a_wallet_is_adjusted_up_and_down(ledger: &dyn LedgerStore) {
    ledger.open_wallet(at(0), user(2)).await.unwrap();
    let up = adjust(ledger, adjustment(2, Some("30"), Some("30"), None)).await;
    assert_eq!(booked(up), (1, vec![btc("30"), usd("30")], false));
    let down = adjust(ledger, adjustment(2, Some("-29.99"), None, None)).await;
    assert_eq!(booked(down), (2, vec![btc("30"), usd("0.01")], false));
    let house = adjust(ledger, adjustment(1, None, Some("0.00000001"), None)).await;
    assert_eq!(booked(house), (3, vec![btc("0.00000001"), usd("0")], false));
    let lines = ledger.statement(user(2), None, 1).await.unwrap().unwrap();
    assert_eq!(lines[0].counter_account, Owner::Treasury);
    assert_eq!(lines[0].reason, "goodwill");
}

async fn an_adjustment_is_all_or_nothing(ledger: &dyn LedgerStore) {
    ledger.open_wallet(at(0), user(2)).await.unwrap();
    let asset = Asset::BTC;
    let too_little = Adjusted::Refused(Refusal::InsufficientFunds {
        owner: wallet_of(2),
        asset,
    });
    assert_eq!(
        adjust(ledger, adjustment(2, Some("5"), Some("-1"), None)).await,
        too_little
    );
    assert_eq!(balances(ledger, 2).await, [btc("0"), usd("0")]);
    let nobody = adjust(ledger, adjustment(3, Some("5"), None, None)).await;
    assert_eq!(nobody, Adjusted::Refused(Refusal::NoWallet { owner: wallet_of(3) }));
    let mut senseless = [
        adjustment(2, None, None, None),
        adjustment(2, Some("0"), Some("1"), None),
        adjustment(2, Some("1"), None, None),
        adjustment(2, Some("1"), None, None),
    ];
    senseless[2].reason = "  ".to_owned();
    senseless[3].fiat = Some(btc("1"));
    for adjustment in senseless {
        assert!(matches!(
            adjust(ledger, adjustment).await,
            Adjusted::Refused(Refusal::Invalid { .. })
        ));
    }
    // Nothing of all this took a number.
    assert_eq!(booked(adjust(ledger, adjustment(2, Some("5"), None, None)).await).0, 1);
}

async fn an_adjustment_with_a_known_key_answers_as_the_first_time(ledger: &dyn LedgerStore) {
    rich(ledger, "10").await;
    ledger.open_wallet(at(0), user(3)).await.unwrap();
    let first = adjust(ledger, adjustment(2, Some("5"), None, Some("k"))).await;
    assert_eq!(booked(first), (1, vec![btc("0"), usd("15")], false));
    assert_eq!(post(ledger, hold(1, 2, usd("7"))).await, POSTED);
    let again = adjust(ledger, adjustment(2, Some("5"), None, Some("k"))).await;
    assert_eq!(booked(again), (1, vec![btc("0"), usd("15")], true));
    assert_eq!(
        adjust(ledger, adjustment(2, Some("5.5"), None, Some("k"))).await,
        Adjusted::KeyReused
    );
    assert_eq!(balances(ledger, 2).await, [btc("0"), usd("8")]);
    // Keys of different wallets have nothing to do with each other.
    assert_eq!(
        booked(adjust(ledger, adjustment(3, Some("5"), None, Some("k"))).await).0,
        2
    );
}

async fn a_refused_adjustment_leaves_its_key_free(ledger: &dyn LedgerStore) {
    rich(ledger, "10").await;
    let wanted = || adjustment(2, Some("-11"), None, Some("k"));
    let owner = wallet_of(2);
    let too_little = Adjusted::Refused(Refusal::InsufficientFunds {
        owner,
        asset: Asset::USD,
    });
    assert_eq!(adjust(ledger, wanted()).await, too_little);
    assert_eq!(post(ledger, pay_in(1, 2, usd("1"))).await, POSTED);
    assert_eq!(
        booked(adjust(ledger, wanted()).await),
        (1, vec![btc("0"), usd("0")], false)
    );
}

async fn the_hot_wallet_is_funded_once(ledger: &dyn LedgerStore) {
    let fund = |fiat, crypto| async move {
        let capital = Capital {
            fiat: usd(fiat),
            crypto: btc(crypto),
        };
        ledger.fund(at(0), capital).await.unwrap()
    };
    assert_eq!(fund("0", "0").await, Funding::Nothing);
    assert_eq!(fund("1000", "1000").await, Funding::Booked);
    assert_eq!(fund("1000", "1000").await, Funding::Before);
    let first = Funding::BeforeOtherwise {
        booked: vec![usd("1000"), btc("1000")],
    };
    for (fiat, crypto) in [("1001", "1000"), ("1000", "0"), ("0", "0")] {
        assert_eq!(fund(fiat, crypto).await, first);
    }
    assert_eq!(balances(ledger, 1).await, [btc("1000"), usd("1000")]);
}

async fn capital_that_makes_no_sense_is_refused(ledger: &dyn LedgerStore) {
    for (fiat, crypto) in [(usd("-1"), btc("1")), (btc("1"), btc("1")), (usd("1"), usd("1"))] {
        let funding = ledger.fund(at(0), Capital { fiat, crypto }).await.unwrap();
        assert!(matches!(funding, Funding::Refused(Refusal::Invalid { .. })));
    }
    assert_eq!(balances(ledger, 1).await, [btc("0"), usd("0")]);
    let only_fiat = Capital {
        fiat: usd("5"),
        crypto: btc("0"),
    };
    assert_eq!(ledger.fund(at(0), only_fiat).await.unwrap(), Funding::Booked);
    assert_eq!(ledger.fund(at(0), only_fiat).await.unwrap(), Funding::Before);
}
