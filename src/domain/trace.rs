//! W3C trace context, as far as it goes on record: whose trace a request is part of.

/// `text`, if it is a well-formed `traceparent`. It goes on record, into logs and into messages, so it is no place for anything
/// else.
pub fn traceparent(text: &str) -> Option<&str> {
    let shape = [2, 32, 16, 2];
    let mut parts = text.split('-');
    let fits = shape.iter().all(|length| {
        parts.next().is_some_and(|part| {
            part.len() == *length
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        })
    });
    (fits && parts.next().is_none()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::traceparent;

    #[test]
    fn nothing_but_a_traceparent_is_one() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(good), Some(good));
        for bad in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n",
            "hunter2",
        ] {
            assert_eq!(traceparent(bad), None, "{bad}");
        }
    }
}
