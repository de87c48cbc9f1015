"""Scheduled programs as compilers write them, small enough to count by hand."""

import jax
import jax.numpy as jnp
import pytest

from sam_jax.plan.traffic import count_traffic

SLICED = """
HloModule jit_f, is_scheduled=true

%view (view.0: f32[7,32,16]) -> f32[7,32,16] {
  %view.0 = f32[7,32,16]{2,1,0:T(8,128)} parameter(0)
  ROOT %bitcast.1 = f32[7,32,16]{2,1,0:T(8,128)} bitcast(%view.0)
}

%take (take.0: f32[7,32,16], take.1: s32[]) -> f32[32,16] {
  %take.0 = f32[7,32,16]{2,1,0:T(8,128)} parameter(0)
  %take.1 = s32[]{:T(128)} parameter(1)
  %zero = s32[]{:T(128)} constant(0)
  %slice.1 = f32[1,32,16]{2,1,0:T(8,128)} dynamic-slice(%take.0, %take.1, %zero, %zero), dynamic_slice_sizes={1,32,16}
  ROOT %bitcast.2 = f32[32,16]{1,0:T(8,128)} bitcast(%slice.1)
}

%multiply (multiply.0: f32[8,32], multiply.1: f32[7,32,16], multiply.2: s32[]) -> f32[8,16] {
  %multiply.0 = f32[8,32]{1,0:T(8,128)S(1)} parameter(0)
  %multiply.1 = f32[7,32,16]{2,1,0:T(8,128)} parameter(1)
  %multiply.2 = s32[]{:T(128)} parameter(2)
  %fusion.1 = f32[7,32,16]{2,1,0:T(8,128)} fusion(%multiply.1), kind=kLoop, calls=%view
  %fusion.2 = f32[32,16]{1,0:T(8,128)} fusion(%fusion.1, %multiply.2), kind=kLoop, calls=%take
  ROOT %dot.1 = f32[8,16]{1,0:T(8,128)} convolution(%multiply.0, %fusion.2), dim_labels=bf_io->bf
}

%update (update.0: bf16[9,16], update.1: bf16[1,16], update.2: s32[]) -> bf16[9,16] {
  %update.0 = bf16[9,16]{1,0} parameter(0)
  %update.1 = bf16[1,16]{1,0} parameter(1)
  %update.2 = s32[]{:T(128)} parameter(2)
  %zero.1 = s32[]{:T(128)} constant(0)
  ROOT %put = bf16[9,16]{1,0} dynamic-update-slice(%update.0, %update.1, %update.2, %zero.1)
}

%turn (turn.0: (s32[], f32[8,32], f32[7,32,16], bf16[9,16], bf16[1,16], /*index=5*/f32[8,16])) -> (s32[], f32[8,32], f32[7,32,16], bf16[9,16], bf16[1,16], /*index=5*/f32[8,16]) {
  %turn.0 = (s32[]{:T(128)S(2)}, f32[8,32]{1,0:T(8,128)S(1)}, f32[7,32,16]{2,1,0:T(8,128)}, bf16[9,16]{1,0}, bf16[1,16]{1,0}, /*index=5*/f32[8,16]{1,0:T(8,128)}) parameter(0)
  %i = s32[]{:T(128)S(2)} get-tuple-element(%turn.0), index=0
  %x = f32[8,32]{1,0:T(8,128)S(1)} get-tuple-element(%turn.0), index=1
  %w = f32[7,32,16]{2,1,0:T(8,128)} get-tuple-element(%turn.0), index=2
  %y = bf16[9,16]{1,0} get-tuple-element(%turn.0), index=3
  %row = bf16[1,16]{1,0} get-tuple-element(%turn.0), index=4
  %fusion.3 = f32[8,16]{1,0:T(8,128)} fusion(%x, %w, %i), kind=kOutput, calls=%multiply
  %fusion.4 = bf16[9,16]{1,0} fusion(%y, %row, %i), kind=kLoop, calls=%update
  %one = s32[]{:T(128)} constant(1)
  %next = s32[]{:T(128)S(2)} add(%i, %one)
  ROOT %tuple.1 = (s32[]{:T(128)S(2)}, f32[8,32]{1,0:T(8,128)S(1)}, f32[7,32,16]{2,1,0:T(8,128)}, bf16[9,16]{1,0}, bf16[1,16]{1,0}, /*index=5*/f32[8,16]{1,0:T(8,128)}) tuple(%next, %x, %w, %fusion.4, %row, /*index=5*/%fusion.3)
}

%test (test.0: (s32[], f32[8,32], f32[7,32,16], bf16[9,16], bf16[1,16], /*index=5*/f32[8,16])) -> pred[] {
  %seven = s32[]{:T(128)} constant(7)
  %test.0 = (s32[]{:T(128)S(2)}, f32[8,32]{1,0:T(8,128)S(1)}, f32[7,32,16]{2,1,0:T(8,128)}, bf16[9,16]{1,0}, bf16[1,16]{1,0}, /*index=5*/f32[8,16]{1,0:T(8,128)}) parameter(0)
  %j = s32[]{:T(128)S(2)} get-tuple-element(%test.0), index=0
  ROOT %lt = pred[]{:T(512)} compare(%j, %seven), direction=LT
}

ENTRY %main (p.0: f32[8,32], p.1: f32[7,32,16], p.2: bf16[9,16], p.3: bf16[1,16]) -> f32[8,16] {
  %p.0 = f32[8,32]{1,0:T(8,128)} parameter(0)
  %p.1 = f32[7,32,16]{2,1,0:T(8,128)} parameter(1)
  %p.2 = bf16[9,16]{1,0} parameter(2)
  %p.3 = bf16[1,16]{1,0} parameter(3)
  %start = s32[]{:T(128)S(2)} constant(FIRST)
  %buffer = f32[8,16]{1,0:T(8,128)} custom-call(), custom_call_target="AllocateBuffer"
  %copy-start.1 = (f32[8,32]{1,0:T(8,128)S(1)}, f32[8,32]{1,0:T(8,128)}, u32[]{:S(2)}) copy-start(%p.0)
  %copy-done.1 = f32[8,32]{1,0:T(8,128)S(1)} copy-done(%copy-start.1)
  %tuple.2 = (s32[]{:T(128)S(2)}, f32[8,32]{1,0:T(8,128)S(1)}, f32[7,32,16]{2,1,0:T(8,128)}, bf16[9,16]{1,0}, bf16[1,16]{1,0}, /*index=5*/f32[8,16]{1,0:T(8,128)}) tuple(%start, %copy-done.1, %p.1, %p.2, %p.3, /*index=5*/%buffer)
  %while.1 = (s32[]{:T(128)S(2)}, f32[8,32]{1,0:T(8,128)S(1)}, f32[7,32,16]{2,1,0:T(8,128)}, bf16[9,16]{1,0}, bf16[1,16]{1,0}, /*index=5*/f32[8,16]{1,0:T(8,128)}) while(%tuple.2), condition=%test, body=%turn
  %kernel.1 = f32[8,16]{1,0:T(8,128)} custom-call(%p.2), custom_call_target="tpu_custom_call", metadata={kernel={
}}, operand_layout={}
  ROOT %out = f32[8,16]{1,0:T(8,128)} get-tuple-element(%while.1), index=5
}
"""  # noqa: E501


@pytest.mark.parametrize("first", [0, 3])
def test_slices_updates_loops_and_what_stays_in_the_chip(first):
    traffic = count_traffic(SLICED.replace("FIRST", str(first)))
    into_the_chip = 4 * 8 * 32
    turn = (
        4 * 32 * 16 + 4 * 8 * 16 + 2 * 16 + 2 * 16
    )  # a layer of the weights, the product, a row in and a row out
    kernel = 2 * 9 * 16 + 4 * 8 * 16
    assert traffic.bytes == into_the_chip + (7 - first) * turn + kernel
    assert traffic.open_loops == 0


def test_a_loop_of_unknown_length_is_told():
    unknown = SLICED.replace("FIRST", "0").replace("compare(%j, %seven)", "compare(%j, %j)")
    assert count_traffic(unknown).open_loops == 1


def test_programs_of_this_machine_are_read():
    """Its compiler says how often loops turn, and fuses otherwise: bounds on both sides."""
    w = jnp.zeros((5, 64, 64))
    run = jax.jit(lambda x, w: jax.lax.scan(lambda y, one: (jnp.tanh(y @ one), None), x, w)[0])
    text = run.trace(jnp.zeros((64, 64)), w).lower().compile().as_text()
    matrix = 4 * 64 * 64
    traffic = count_traffic(text)
    assert traffic.open_loops == 0
    assert 5 * 2 * matrix <= traffic.bytes <= 5 * 12 * matrix
