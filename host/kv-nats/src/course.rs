//! What a replicator writes, and in which order. Pure.
//!
//! A replica's sequences are its origin's. So a message that the origin does not have any more, because a later one of
//! its subject took its place, leaves a gap that a filler takes; and everything is written with the sequence that the
//! replica has to have just before. A replica that is somewhere else refuses it: another replicator is ahead. Fillers
//! make that exact. Without them a write could only expect *some* earlier sequence, and of two replicators the one
//! that is behind could write what the other has written already.

/// How far a replicator has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    written: u64,
}

/// The next thing to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A filler at this sequence.
    Gap(u64),
    /// The message at hand.
    Copy,
}

impl Course {
    /// From a replica whose last sequence is this.
    pub(crate) fn from(last: u64) -> Self {
        Self { written: last }
    }

    /// The next step towards the origin's next message, which has this sequence; `None` once it is written.
    pub(crate) fn towards(&mut self, sequence: u64) -> Option<Step> {
        if self.written >= sequence {
            return None;
        }
        self.written += 1;
        Some(if self.written == sequence {
            Step::Copy
        } else {
            Step::Gap(self.written)
        })
    }

    /// The next step through a gap that reaches up to this sequence; `None` once it is filled.
    pub(crate) fn through(&mut self, sequence: u64) -> Option<u64> {
        if self.written >= sequence {
            return None;
        }
        self.written += 1;
        Some(self.written)
    }
}

#[cfg(test)]
mod tests {
    //! A model: an origin that keeps the last message of each key, a replica that refuses what does not follow, and
    //! replicators that compete, lose their connections at any point, and start anew.

    use std::collections::{BTreeMap, VecDeque};

    use proptest::prelude::*;

    use super::*;

    /// A stream with one message for each key.
    #[derive(Clone, Debug, Default)]
    struct Stream {
        messages: BTreeMap<u64, (Option<u8>, u64)>,
        last: u64,
    }

    impl Stream {
        /// `None` is the reserved key of fillers.
        fn append(&mut self, key: Option<u8>, value: u64) {
            self.messages.retain(|_, (other, _)| *other != key);
            self.last += 1;
            self.messages.insert(self.last, (key, value));
        }
    }

    /// A publication on its way.
    #[derive(Clone, Debug)]
    struct Sent {
        expected_last: u64,
        key: Option<u8>,
        value: u64,
    }

    #[derive(Debug, Default)]
    struct Replicator {
        /// Its course and the next sequence that it reads, while it runs.
        running: Option<(Course, u64)>,
        /// What it has sent and the replica has not got; a connection keeps the order.
        wire: VecDeque<Sent>,
    }

    impl Replicator {
        fn start(&mut self, replica: &Stream) {
            self.running = Some((Course::from(replica.last), replica.last + 1));
        }

        /// Reads one message and sends what follows from it.
        fn read(&mut self, origin: &Stream) {
            let Some((course, next)) = &mut self.running else {
                return;
            };
            let Some((&sequence, &(key, value))) = origin.messages.range(*next..).next() else {
                return;
            };
            *next = sequence + 1;
            while let Some(step) = course.towards(sequence) {
                let (sequence, key, value) = match step {
                    Step::Gap(sequence) => (sequence, None, 0),
                    Step::Copy => (sequence, key, value),
                };
                self.wire.push_back(Sent {
                    expected_last: sequence - 1,
                    key,
                    value,
                });
            }
        }

        /// The replica gets one publication. A refusal ends the replicator, which may have sent more behind it.
        fn deliver(&mut self, replica: &mut Stream) {
            let Some(sent) = self.wire.pop_front() else {
                return;
            };
            if sent.expected_last == replica.last {
                replica.append(sent.key, sent.value);
            } else {
                self.running = None;
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Event {
        Write(u8),
        Start(usize),
        Read(usize),
        Deliver(usize),
        /// The connection breaks: what is on the wire from here on is lost.
        Break(usize, usize),
        /// The replicator dies, and what it has sent still arrives.
        Die(usize),
    }

    fn events() -> impl Strategy<Value = Vec<Event>> {
        let who = 0_usize..3;
        let event = prop_oneof![
            6 => (0_u8..5).prop_map(Event::Write),
            2 => who.clone().prop_map(Event::Start),
            6 => who.clone().prop_map(Event::Read),
            9 => who.clone().prop_map(Event::Deliver),
            1 => (who.clone(), 0_usize..4).prop_map(|(who, kept)| Event::Break(who, kept)),
            1 => who.prop_map(Event::Die),
        ];
        proptest::collection::vec(event, 0..200)
    }

    /// The replica is a prefix of the origin: what it has at a sequence is what the origin wrote there, and of what
    /// the origin still has up to the replica's end, nothing is missing.
    fn check_prefix(
        origin: &Stream,
        written: &[(u8, u64)],
        replica: &Stream,
    ) -> Result<(), TestCaseError> {
        prop_assert!(replica.last <= origin.last);
        for (&sequence, &(key, value)) in &replica.messages {
            if let Some(key) = key {
                let index = usize::try_from(sequence - 1).unwrap();
                prop_assert_eq!(written[index], (key, value), "at {}", sequence);
            }
        }
        for (sequence, message) in origin.messages.range(..=replica.last) {
            prop_assert_eq!(
                replica.messages.get(sequence),
                Some(message),
                "at {}",
                sequence
            );
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_replica_is_always_a_prefix_of_its_origin(events in events()) {
            let (mut origin, mut replica) = (Stream::default(), Stream::default());
            let mut written = Vec::new();
            let mut replicators: [Replicator; 3] = Default::default();
            for event in events {
                match event {
                    Event::Write(key) => {
                        written.push((key, origin.last + 1));
                        origin.append(Some(key), origin.last + 1);
                    }
                    Event::Start(who) => replicators[who].start(&replica),
                    Event::Read(who) => replicators[who].read(&origin),
                    Event::Deliver(who) => replicators[who].deliver(&mut replica),
                    Event::Break(who, kept) => {
                        replicators[who].wire.truncate(kept);
                        replicators[who].running = None;
                    }
                    Event::Die(who) => replicators[who].running = None,
                }
                check_prefix(&origin, &written, &replica)?;
            }
            // Left alone, one of them brings the replica to the origin's end.
            for replicator in &mut replicators {
                while !replicator.wire.is_empty() {
                    replicator.deliver(&mut replica);
                }
            }
            let one = &mut replicators[0];
            one.start(&replica);
            while replica.last < origin.last {
                one.read(&origin);
                while !one.wire.is_empty() {
                    one.deliver(&mut replica);
                    check_prefix(&origin, &written, &replica)?;
                }
                prop_assert!(one.running.is_some());
            }
            let live: Vec<_> = replica.messages.iter().filter(|(_, (key, _))| key.is_some()).collect();
            prop_assert_eq!(live, origin.messages.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn gaps_are_filled_one_by_one_up_to_the_message() {
        let mut course = Course::from(4);
        let steps: Vec<_> = std::iter::from_fn(|| course.towards(7)).collect();
        assert_eq!(steps, [Step::Gap(5), Step::Gap(6), Step::Copy]);
        assert_eq!(course, Course::from(7));
        assert_eq!(course.towards(7), None);
        assert_eq!(course.through(8), Some(8));
        assert_eq!(course.through(8), None);
    }
}
