"""The policies against the boolean algebra of the kernel sources and of the mails, over every input."""

import itertools
import re
import threading
import time

import numpy as np
import pytest

from kvmlab import policy
from kvmlab.data import history
from kvmlab.policy import VcpuFacts

INPUTS = [VcpuFacts(*bits) for bits in itertools.product((False, True), repeat=5)]
FACTS = list(VcpuFacts._fields)
WORDS = ["pi_inject_timer", "apicv_active", "housekeeping_cpu", "mwait_in_guest", "hlt_in_guest"]

# kvm_can_post_timer_interrupt: P, A, HK, M, H as five positions, "-" where a revision does not look.
POSTS = {"before": [], "rev1": ["11---"], "rev2": ["110--"], "rev3": ["11-1-", "11--1"]}
# kvm_can_use_hv_timer where the vendor code has the operation, as simplified by hand from O and not (M or can_post).
HV = {
    "before": ["---0-"],
    "rev1": ["0--0-", "-0-0-"],
    "rev2": ["0--0-", "-0-0-", "--10-"],
    "rev3": ["0--0-", "-0-0-", "---00"],
}


def matches(facts, patterns):
    return any(all(want in ("-", str(int(bit))) for want, bit in zip(p, facts, strict=True)) for p in patterns)


def inputs_where(condition):
    return [facts for facts in INPUTS if condition(*facts)]


def rows(frame):
    return sorted(VcpuFacts(*map(bool, row)) for row in frame[FACTS].itertuples(index=False))


def test_the_facts_are_the_kernel_s_words_in_order():
    assert FACTS == WORDS
    assert list(policy.POLICIES) == ["before", "rev1", "rev2", "rev3"]
    assert len(set(policy.every_input())) == 32


@pytest.mark.parametrize("name", POSTS)
def test_can_post_on_every_input(name):
    rule = policy.find(name)
    assert rule is getattr(policy, name)
    assert [bool(rule(facts)) for facts in INPUTS] == [matches(facts, POSTS[name]) for facts in INPUTS]


@pytest.mark.parametrize("name", POSTS)
def test_can_use_hv_timer_on_every_input(name):
    for facts in INPUTS:
        can_post = policy.find(name)(facts)
        assert policy.can_use_hv_timer(facts, can_post) is matches(facts, HV[name])
        assert policy.can_use_hv_timer(facts, can_post, hv_timer=True) is matches(facts, HV[name])
        assert policy.can_use_hv_timer(facts, can_post, hv_timer=False) is False


@pytest.mark.parametrize("name", POSTS)
def test_truth_table_holds_every_input_once(name):
    table = policy.truth_table(policy.find(name))
    assert list(table.columns) == [*WORDS, "can_post_timer_interrupt", "can_use_hv_timer"]
    assert rows(table) == sorted(INPUTS)
    assert set(table.dtypes.astype(str)) == {"bool"}
    for row in table.itertuples(index=False):
        assert row.can_post_timer_interrupt == matches(row[:5], POSTS[name])
        assert row.can_use_hv_timer == matches(row[:5], HV[name])


@pytest.mark.parametrize("name", POSTS)
def test_bits_of_the_table_are_the_answers(name):
    bits = policy.table_bits(policy.find(name))
    assert 0 <= bits < 1 << 32
    for facts in INPUTS:
        at = policy.index(facts)
        assert bits >> at & 1 == matches(facts, POSTS[name])
        assert at == sum(bit << i for i, bit in enumerate(facts))


@pytest.mark.parametrize(
    ("a", "b", "condition"),
    [
        ("rev1", "rev3", lambda p, a, hk, m, h: p and a and not m and not h),
        ("rev1", "rev2", lambda p, a, hk, m, h: p and a and hk),
        ("rev2", "rev3", lambda p, a, hk, m, h: p and a and (hk if m or h else not hk)),
        ("before", "rev1", lambda p, a, hk, m, h: p and a),
        ("before", "rev2", lambda p, a, hk, m, h: p and a and not hk),
        ("before", "rev3", lambda p, a, hk, m, h: p and a and (m or h)),
    ],
)
def test_differences_are_exactly_these_inputs(a, b, condition):
    for first, second in ((a, b), (b, a)):
        table = policy.differences(policy.find(first), policy.find(second))
        answers = [f"{word}_{side}" for side in "ab" for word in ("can_post_timer_interrupt", "can_use_hv_timer")]
        assert sorted(table.columns) == sorted([*WORDS, *answers])
        assert rows(table) == inputs_where(condition)
        for row in table.itertuples(index=False):
            assert row.can_post_timer_interrupt_a == matches(row[:5], POSTS[first])
            assert row.can_post_timer_interrupt_b == matches(row[:5], POSTS[second])
            assert row.can_use_hv_timer_a == matches(row[:5], HV[first])
            assert row.can_use_hv_timer_b == matches(row[:5], HV[second])


@pytest.mark.parametrize("name", POSTS)
def test_a_policy_does_not_differ_from_itself(name):
    assert policy.differences(policy.find(name), policy.find(name)).empty


def test_mwait_alone_makes_no_difference_between_revisions_1_and_3():
    table = policy.differences(policy.rev1, policy.rev3)
    assert not table["mwait_in_guest"].any()


def raises(facts):
    raise KeyError("oops")


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (raises, "KeyError"),
        (lambda facts: None, "None"),
        (lambda facts: "yes", "'yes'"),
        (lambda facts: 2, "answered 2"),
        (lambda facts: 1.0, r"1\.0"),
        (lambda: True, "TypeError"),
        (lambda facts: facts.nohz_full, "AttributeError"),
    ],
)
@pytest.mark.parametrize("use", [policy.truth_table, policy.table_bits, lambda p: policy.differences(policy.rev1, p)])
def test_a_bad_policy_is_named_with_what_it_was_asked(bad, says, use):
    with pytest.raises(ValueError, match=says) as caught:
        use(bad)
    assert bad.__name__ in str(caught.value)
    for word in WORDS:
        assert f"{word}=False" in str(caught.value)


def test_a_policy_that_fails_on_one_input_only_is_caught_and_the_input_named():
    def almost(facts):
        return None if all(facts) else False

    with pytest.raises(ValueError, match="answered None") as caught:
        policy.table_bits(almost)
    assert all(f"{word}=True" in str(caught.value) for word in WORDS)


def loops(facts):
    while True:
        pass


def sleeps(facts):
    time.sleep(3600)


def dawdles(facts):
    time.sleep(0.05)
    return False


@pytest.mark.parametrize("bad", [loops, sleeps, dawdles])
@pytest.mark.parametrize("use", [policy.truth_table, policy.table_bits, lambda p: policy.differences(policy.rev1, p)])
def test_a_policy_that_does_not_answer_in_time_is_refused(monkeypatch, bad, use):
    monkeypatch.setattr(policy, "PATIENCE_S", 0.2)
    started = time.monotonic()
    with pytest.raises(ValueError, match=rf"policy {bad.__name__} has not answered on VcpuFacts\(") as caught:
        use(bad)
    assert time.monotonic() - started < 5
    assert str(caught.value).endswith("all 32 inputs together may take 0.2 s")


def test_a_loop_that_was_given_up_ends(monkeypatch):
    monkeypatch.setattr(policy, "PATIENCE_S", 0.1)
    threads = []

    def endless(facts):
        threads.append(threading.current_thread())
        while True:
            pass

    with pytest.raises(ValueError, match="has not answered"):
        policy.table_bits(endless)
    threads[0].join(10)
    assert not threads[0].is_alive()


def test_what_a_policy_raises_beside_errors_is_raised():
    def leaves(facts):
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        policy.table_bits(leaves)


def test_without_threads_a_policy_is_asked_all_the_same(monkeypatch):
    def none_left(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", none_left)
    assert policy.table_bits(lambda facts: facts.hlt_in_guest) == policy.table_bits(policy.Table(0xFFFF0000))


def test_numpys_booleans_are_answers():
    assert policy.table_bits(lambda facts: np.bool_(facts.apicv_active)) == policy.table_bits(lambda facts: facts[1])


def test_0_and_1_are_answers():
    assert policy.table_bits(lambda facts: int(facts.hlt_in_guest)) == policy.table_bits(lambda f: f.hlt_in_guest)


@pytest.mark.parametrize("name", ["rev4", "", "REV1", None, 3, ["rev1"], {}])
def test_an_unknown_policy_lists_the_known_ones(name):
    with pytest.raises(ValueError, match=r"policy: .*must be one of before, rev1, rev2, rev3"):
        policy.find(name)


# --- the text of the predicates ---------------------------------------------------------------------------------------

C_WORDS = {
    "apicv_active": "kvm_vcpu_apicv_active(vcpu)",
    "housekeeping_cpu": "housekeeping_cpu(vcpu->cpu, HK_FLAG_TIMER)",
    "mwait_in_guest": "kvm_mwait_in_guest(vcpu->kvm)",
    "hlt_in_guest": "kvm_hlt_in_guest(vcpu->kvm)",
}


@pytest.mark.parametrize("name", ["rev1", "rev2", "rev3"])
def test_the_quoted_patches_state_these_predicates(name):
    text = " && ".join(term.text for term in policy.terms(policy.POLICIES[name]))
    for fact, words in C_WORDS.items():
        text = re.sub(rf"\b{fact}\b", words, text)
    assert history().set_index("id").loc[name, "predicate"] == text


@pytest.mark.parametrize("rule", policy.POLICIES.values())
def test_a_predicate_holds_where_all_its_terms_hold(rule):
    for facts in policy.every_input():
        assert all(term.holds(facts) for term in policy.terms(rule)) == rule(facts)


def test_terms_of_a_reader_s_policy():
    def mine(facts):
        """With a docstring."""
        return facts.apicv_active and not (facts.mwait_in_guest and facts.hlt_in_guest) and True

    def bare(facts):
        return facts.apicv_active and facts.hlt_in_guest

    def long(facts):
        answer = facts.apicv_active
        return answer

    def documented(facts):
        """With a docstring, and more than one statement."""
        answer = facts.apicv_active
        return answer

    assert [term.text for term in policy.terms(mine)] == [
        "apicv_active",
        "!(mwait_in_guest && hlt_in_guest)",
        "true",
    ]
    assert [term.text for term in policy.terms(long)] == ["long(vcpu)"]
    assert [term.text for term in policy.terms(documented)] == ["documented(vcpu)"]
    assert [term.text for term in policy.terms(bare)] == ["apicv_active", "hlt_in_guest"]
    assert policy.terms(policy.Table(1 << 31))[0].holds(VcpuFacts(True, True, True, True, True))


def test_revisions_are_asked_without_a_thread(monkeypatch):
    monkeypatch.setattr(policy, "_Asking", None)
    assert policy.table_bits(policy.rev1) == policy.table_bits(policy.Table(policy.table_bits(policy.rev1)))
