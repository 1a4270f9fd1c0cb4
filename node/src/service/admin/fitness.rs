//! Whether a member is one that the cluster may come to depend on, by what it last said of itself.

use std::time::Duration;

use tokio::time::Instant;

use crate::ledger::alarms::{AMNESIA, CLOCK, CORRUPT, KEYS, NOSPACE, REMOVED};
use crate::ledger::exchange_memory::PeerView;

/// Who was not heard for so long may be gone: nodes speak to each other every second.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// What a member is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Duty {
    /// Vote.
    Vote,
    /// Lead.
    Lead,
}

impl Duty {
    /// The alarms with which a node cannot do it, and what to say of each.
    fn barred_by(self) -> &'static [(&'static str, &'static str)] {
        let all = &[
            (AMNESIA, "has forgotten what it promised, and does not vote"),
            (REMOVED, "was removed from the cluster"),
            (CORRUPT, "does not have the tree that was published"),
            (KEYS, "has not got the keys of the ledger yet"),
            (CLOCK, "does not campaign until its clock is right"),
            (NOSPACE, "does not campaign while its disk lacks room"),
        ];
        match self {
            Self::Vote => all.split_at(4).0,
            Self::Lead => all,
        }
    }
}

/// Why the member `id` cannot do it; `view` is what this node knows of it.
pub(super) fn check(
    duty: Duty,
    id: u64,
    view: Option<&PeerView>,
    now: Instant,
) -> Result<(), String> {
    let Some(view) = view else {
        return Err(format!("node {id} was not heard yet"));
    };
    let silent = now.saturating_duration_since(view.heard);
    if silent > SILENCE_MAX {
        let seconds = silent.as_secs();
        return Err(format!("node {id} was not heard for {seconds} s"));
    }
    let alarmed = |name: &str| view.report.alarms.iter().any(|alarm| alarm == name);
    let mut barred = duty.barred_by().iter();
    match barred.find(|(name, _)| alarmed(name)) {
        Some((name, why)) => Err(format!("node {id} {why} ({name})")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::exchange_memory::Report;
    use crate::ledger::verify_rate::VerifyRate;

    fn view(alarms: &[&str], heard: Instant) -> PeerView {
        PeerView {
            report: Report {
                alarms: alarms.iter().map(|&name| name.to_owned()).collect(),
                ..Report::default()
            },
            heard,
            clock_offset_ms: 0,
            verify_rate: VerifyRate::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_do_it_is_not_depended_upon() {
        let now = Instant::now() + Duration::from_mins(1);
        for (alarms, may_vote, may_lead) in [
            (&[][..], true, true),
            (&["FORK"], true, true),
            (&[CLOCK], true, false),
            (&[NOSPACE], true, false),
            (&[AMNESIA], false, false),
            (&[REMOVED], false, false),
            (&[CORRUPT], false, false),
            (&["FORK", KEYS], false, false),
        ] {
            let view = view(alarms, now);
            let fit = |duty| check(duty, 2, Some(&view), now).is_ok();
            assert_eq!(fit(Duty::Vote), may_vote, "{alarms:?}");
            assert_eq!(fit(Duty::Lead), may_lead, "{alarms:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_is_not_depended_upon_either() {
        let now = Instant::now() + Duration::from_mins(1);
        let heard = |ago| check(Duty::Vote, 2, Some(&view(&[], now - ago)), now);
        heard(SILENCE_MAX).unwrap();
        let refused = heard(SILENCE_MAX + Duration::from_secs(1)).unwrap_err();
        assert_eq!(refused, "node 2 was not heard for 6 s");
        assert!(check(Duty::Lead, 2, None, now).is_err());
    }
}
