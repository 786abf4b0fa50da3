//! What a mailbox is: ids, messages, flags, clock stamps, the join, stored encoding, audio recognition
