-- All of a caller's sliding windows, decided and counted in one atomic step: the twin of rules/windows.py, which says
-- what a batch is and why. A refused hit writes nothing.
--
-- KEYS[1]  the caller's one key
-- ARGV[1]  what to do (1 octet: 0 look, 1 hit, 2 forget these windows, 3 take the costs back), the moment when the costs
--          were counted (7) if they are taken back, then for each window its limit (7), its cost (7; 0 asks whether one
--          unit is free and counts nothing), whether it only watches (1), the length of its id (2) and its id: the
--          seconds (4, high ones first) and the name (`slot_of` in rules/limits/packed.py)
-- Reply    whether the key held something that is not ours (1 octet), the moment of this call (8), then 8 octets each:
--          for each window what remains, the moment when that next grows, and how long the cost must wait (0: not at
--          all, -1: for ever; a window that only watches counts it at once all the same); times in microseconds
--
-- The key holds an entry for each window that counts something: the length of its id, its id, the length of its body,
-- its body. A body is a head (octets that the units of an older batch take; units in all batches; first, last and units
-- of the newest batch; origin; end of the last older batch) and then the older batches, the oldest first: how long
-- after the batch before it each ended (the oldest: after the origin), and its units. That is 7 or 8 octets a batch.
-- Since the total stands in the head, a call reads only batches that have left: a full window costs hardly more than a
-- fresh one.
--
-- What is not of this form is not ours: the caller starts afresh, and it is overwritten. No more is checked than that
-- the script can do its work; octets that pass for ours mean what they say, for that one caller and two windows' lengths.
--
-- Needs Redis 5: older ones let no script write after TIME. Lua's numbers are doubles, exact up to 2^53, which is five
-- times the microseconds since 1970.

local NAME, HEAD, HEAD_SIZE = '<I2c0I2', '<I1I7I7I7I7I7I7', 43
local ENTRY, ARGUMENT = NAME .. 'I1I7I7I7I7I7I7', '<I7I7I1I2c0'
local NARROW, WIDE = 3, 7
local MOST = 2 ^ 53
local LOOK, HIT, FORGET, REFUND = 0, 1, 2, 3
local pack, unpack, sub, values = struct.pack, struct.unpack, string.sub, unpack

local time = redis.call('TIME')
local clock = time[1] * 1000000 + time[2]
local asked = ARGV[1]
local act, counted_at, first_asked = unpack('<I1I7', asked)
local stored, unreadable = redis.pcall('GET', KEYS[1]), false
if type(stored) == 'table' then
  if not string.find(stored.err, 'WRONGTYPE', 1, true) then return stored end
  stored, unreadable = false, true
end

-- Where the body of each window starts in the stored string, and where the next entry does.
local starts, stops
local function find_bodies()
  starts, stops = {}, {}
  local at, id, size = 1
  while stored and at <= #stored do
    id, size, at = unpack(NAME, stored, at)
    if #id < 4 or size < HEAD_SIZE then error('unreadable') end
    starts[id], at = at, at + size
    stops[id] = at
  end
  if stored and at ~= #stored + 1 then error('unreadable') end
end

local function form_of(span, width)
  if width == WIDE then return span < 4294967296 and '<I4I7' or span < 1099511627776 and '<I5I7' or '<I7I7' end
  return span < 4294967296 and '<I4I3' or span < 1099511627776 and '<I5I3' or '<I7I3'
end

-- The window as it stands now: without the batches that have left, and without those of a clock that was set back.
-- `at` to `stop` are the older batches. Many values rather than a table: that is a fifth of the whole call.
local function read(id)
  local span, start, stop = unpack('>I4', id) * 1000000, starts[id], stops[id]
  if not start then return span, clock, 0, NARROW, 0, 0, 0, 0, 0, 1, 1 end
  local width, total, first, last, units, origin, recent, at = unpack(HEAD, stored, start)
  local form = form_of(span, width)
  if units == 0 or last < first or (total > units) ~= (at < stop) then error('unreadable') end
  while last > clock + span and at < stop do
    -- Nothing joins the batch before it, for nothing knows when that began.
    stop, total, last, first = stop - struct.size(form), total - units, recent, recent - span
    local gap, gone = unpack(form, stored, stop)
    recent, units = recent - gap, gone
  end
  local now = last > clock and last or clock
  if now >= last + span or last > clock + span then return span, clock, 0, NARROW, 0, 0, 0, 0, 0, 1, 1 end
  while total > units do
    local gap, gone, after = unpack(form, stored, at)
    if after > stop then error('unreadable') end
    if now < origin + gap + span then break end
    origin, total, at = origin + gap, total - gone, after
  end
  if total < units then error('unreadable') end
  return span, now, total, width, first, last, units, origin, recent, at, stop
end

-- The same batches with more octets for their units.
local function widened(older, span)
  local narrow, wide, parts, at, gap, units = form_of(span, NARROW), form_of(span, WIDE), {}, 1
  while at <= #older do
    gap, units, at = unpack(narrow, older, at)
    parts[#parts + 1] = pack(wide, gap, units)
  end
  return table.concat(parts)
end

local reply, parts, ends, known

-- The moment when so many units will have left, of batches in `text` and of a newest one that leaves at `finally`.
local function left(wanted, text, from, stop, form, ended, span, finally)
  local gap, gone
  while from < stop do
    gap, gone, from = unpack(form, text, from)
    ended, wanted = ended + gap, wanted - gone
    if wanted <= 0 then return ended + span end
  end
  return finally
end

-- How long so much must wait.
local function wait_for(cost, limit, total, ...)
  if cost > limit then return -1 end
  if limit - total >= cost then return 0 end
  return math.max(1, left(cost - (limit - total), ...) - clock)
end

-- Count each cost in its window, on paper; false if one does not fit, or if there is nothing to count.
local function hit()
  local argument, n, ids, counts = first_asked, 0, {}, false
  while argument <= #asked do
    local limit, cost, watching, id, after = unpack(ARGUMENT, asked, argument)
    local span, now, total, width, first, last, units, origin, recent, at, stop = read(id)
    local wait = 0
    counts = counts or cost > 0
    if limit - total < math.max(cost, 1) then
      wait = wait_for(math.max(cost, 1), limit, total, stored, at, stop, form_of(span, width), origin, span, last + span)
      if watching == 0 then return false end
      cost = math.min(cost, MOST - total)
    end
    local older = at < stop and sub(stored, at, stop - 1) or ''
    if cost > 0 and total > 0 and (now - first) * 60 < span then
      units, last = units + cost, now
    elseif cost > 0 then
      if total > 0 then
        if units >= 16777216 and width == NARROW then older, width = widened(older, span), WIDE end
        if older == '' then origin, recent = last, last end
        older, recent = older .. pack(form_of(span, width), last - recent, units), last
      end
      first, last, units = now, now, cost
    end
    total = total + cost
    local grows = clock
    if total > limit and limit > 0 then
      grows = left(total - limit + 1, older, 1, #older + 1, form_of(span, width), origin, span, last + span)
    elseif total > 0 and limit > 0 then
      grows = span + (older == '' and last or origin + unpack(form_of(span, width), older))
    end
    if total > 0 then
      parts[#parts + 1] = pack(ENTRY, #id, id, HEAD_SIZE + #older, width, total, first, last, units, origin, recent)
      parts[#parts + 1] = older
      ends = last + span > ends and last + span or ends
    end
    reply[3 * n + 1], reply[3 * n + 2], reply[3 * n + 3] = total < limit and limit - total or 0, grows, wait
    n, argument = n + 1, after
    ids[n] = id
  end
  if not counts then return false end
  for _, id in ipairs(ids) do starts[id] = nil end
  return true
end

-- Say how every window stands.
local function look()
  local argument, n = first_asked, 0
  while argument <= #asked do
    local limit, cost, _, id, after = unpack(ARGUMENT, asked, argument)
    local span, _, total, width, _, last, _, origin, _, at, stop = read(id)
    local form, grows = form_of(span, width), clock
    local wait = wait_for(math.max(cost, 1), limit, total, stored, at, stop, form, origin, span, last + span)
    -- A limit that was lowered may leave more in use than it allows.
    if total > 0 and limit > 0 then
      grows = left(math.max(1, total - limit + 1), stored, at, stop, form, origin, span, last + span)
    end
    reply[3 * n + 1], reply[3 * n + 2], reply[3 * n + 3] = math.max(0, limit - total), grows, wait
    n, argument = n + 1, after
  end
end

-- The entry of a window from which the cost is taken back, the oldest units first; empty if none are left. None if that
-- is too late: the window's length has passed, or nothing in it is as young as what was counted then.
local function less(id, cost)
  local span, now, total, width, first, last, units, origin, recent, at, stop = read(id)
  if total == 0 or last < counted_at or now >= counted_at + span then return nil end
  if cost >= total then return '' end
  local wanted, form, older = cost, form_of(span, width), ''
  while wanted > 0 and at < stop do
    local gap, held, after = unpack(form, stored, at)
    local taken = math.min(wanted, held)
    wanted, total, at = wanted - taken, total - taken, after
    if taken == held then origin = origin + gap else older = pack(form, gap, held - taken) end
  end
  units, total, older = units - wanted, total - wanted, older .. sub(stored, at, stop - 1)
  return pack(ENTRY, #id, id, HEAD_SIZE + #older, width, total, first, last, units, origin, recent) .. older
end

local function refund()
  local argument, _, cost, id = first_asked
  while argument <= #asked do
    _, cost, _, id, argument = unpack(ARGUMENT, asked, argument)
    known[id] = true
    local entry = cost > 0 and starts[id] and less(id, cost)
    if entry then
      stored = sub(stored, 1, starts[id] - #id - 5) .. entry .. sub(stored, stops[id])
      find_bodies()
    end
  end
end

-- Windows that this call does not speak of stay as they are, and no longer than the key would have stayed without it:
-- whatever length their octets claim, they cannot keep it.
local function keep_others()
  local latest = next(starts) and clock + (redis.call('PTTL', KEYS[1]) - 1) * 1000
  for id, start in pairs(starts) do
    local _, _, _, last = unpack(HEAD, stored, start)
    local span = unpack('>I4', id) * 1000000
    local leaves = math.min(last, clock + span) + span
    if clock < leaves or act == REFUND then
      parts[#parts + 1] = pack(NAME, #id, id, stops[id] - start)
      parts[#parts + 1] = sub(stored, start, stops[id] - 1)
      ends = math.max(ends, known[id] and leaves or math.min(leaves, latest))
    end
  end
end

local function forget()
  local argument, _, id = first_asked
  while argument <= #asked do
    _, _, _, id, argument = unpack(ARGUMENT, asked, argument)
    starts[id] = nil
  end
end

-- All of the arithmetic. Nothing is written here, so that it can be done again.
local function decide()
  reply, parts, ends, known = {}, {}, clock, {}
  find_bodies()
  if act == FORGET then forget() end
  if act == REFUND then refund() end
  local admits = act == HIT and hit()
  if not admits then look() end
  local writes = admits or act == FORGET or act == REFUND and stored
  if writes then keep_others() end
  return writes
end

local readable, writes = pcall(decide)
if not readable then
  stored, unreadable = false, true
  writes = decide()
end
if writes and #parts > 0 then
  -- The server counts from the whole millisecond that has begun.
  redis.call('SET', KEYS[1], table.concat(parts), 'PX', math.ceil((ends - clock) / 1000) + 1)
elseif writes or unreadable and act ~= LOOK then
  redis.call('DEL', KEYS[1])
end
return pack('<I1i8' .. string.rep('i8', #reply), unreadable and 1 or 0, clock, values(reply))
