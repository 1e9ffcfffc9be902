//! Damages to deposits and to their bookings.

use super::{Damage, damage, theft, usd};

pub(super) fn of_deposits() -> Vec<Damage> {
    let deposit = |status: &str| {
        format!(
            "INSERT INTO wallet_deposits (deposit_id, user_id, currency, amount, reference, status, next_attempt_at,
             created_at, booked_at) VALUES (2, 2, 'USD', {}, 'mine', '{status}', 0, 0, 0)",
            usd("500")
        )
    };
    vec![
        damage(
            "a deposit says that it is booked",
            deposit("booked"),
            &[("deposit 2", "says that it is booked, and is not")],
        ),
        damage(
            "a deposit was raised afterwards",
            format!("UPDATE wallet_deposits SET amount = {}", usd("6000")),
            &[("deposit 1", "is booked otherwise than it says")],
        ),
        damage(
            "a deposit went to another user",
            "UPDATE wallet_deposits SET user_id = 3",
            &[("deposit 1", "is booked otherwise than it says")],
        ),
        damage(
            "a deposit was deleted",
            "DELETE FROM wallet_deposits",
            &[("deposit 1", "is booked, but there is no such deposit")],
        ),
        damage(
            "the booking of a deposit was deleted",
            "DELETE FROM balance_transfers WHERE origin_kind = 'deposit'",
            &[
                ("deposit 1", "says that it is booked, and is not"),
                ("books", "external:bank USD"),
            ],
        ),
        damage(
            "a deposit was booked twice",
            format!(
                "{}; UPDATE wallet_deposits SET status = 'booked';",
                theft("deposit", 1, 2)
            ),
            &[("deposit 1", "is booked 2 times")],
        ),
    ]
}
