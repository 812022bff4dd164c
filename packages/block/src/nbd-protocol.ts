// Numbers of the NBD protocol, as doc/proto.md of the Network Block Device project has them. All have the highest byte first.
export const GREETING = 'NBDMAGIC';
export const OPTION_MAGIC = 'IHAVEOPT';
export const OPTION_REPLY_MAGIC = 0x0003_e889_0455_65a9n;
export const REQUEST_MAGIC = 0x2560_9513;
export const SIMPLE_REPLY_MAGIC = 0x6744_6698;
export const STRUCTURED_REPLY_MAGIC = 0x668e_33ef;

export const HANDSHAKE_FIXED_NEWSTYLE = 1;
export const HANDSHAKE_NO_ZEROES = 2;

export const OPT_EXPORT_NAME = 1;
export const OPT_ABORT = 2;
export const OPT_LIST = 3;
export const OPT_INFO = 6;
export const OPT_GO = 7;
export const OPT_STRUCTURED_REPLY = 8;
export const OPT_LIST_META_CONTEXT = 9;
export const OPT_SET_META_CONTEXT = 10;

export const REP_ACK = 1;
export const REP_SERVER = 2;
export const REP_INFO = 3;
export const REP_META_CONTEXT = 4;
export const REP_ERR_UNSUP = 0x8000_0001;
export const REP_ERR_INVALID = 0x8000_0003;
export const REP_ERR_UNKNOWN = 0x8000_0006;
export const REP_ERR_TOO_BIG = 0x8000_0009;

export const INFO_EXPORT = 0;
export const INFO_BLOCK_SIZE = 3;

export const FLAG_HAS_FLAGS = 1;
export const FLAG_READ_ONLY = 2;
export const FLAG_SEND_FLUSH = 4;
export const FLAG_SEND_FUA = 8;
export const FLAG_SEND_TRIM = 32;
export const FLAG_SEND_WRITE_ZEROES = 64;
export const FLAG_SEND_DF = 128;
export const FLAG_CAN_MULTI_CONN = 256;

export const CMD_READ = 0;
export const CMD_WRITE = 1;
export const CMD_DISC = 2;
export const CMD_FLUSH = 3;
export const CMD_TRIM = 4;
export const CMD_WRITE_ZEROES = 6;
export const CMD_BLOCK_STATUS = 7;

export const CMD_FLAG_FUA = 1;
export const CMD_FLAG_NO_HOLE = 2;
export const CMD_FLAG_DF = 4;
export const CMD_FLAG_REQ_ONE = 8;

export const REPLY_DONE = 1;
export const REPLY_OFFSET_DATA = 1;
export const REPLY_BLOCK_STATUS = 5;
export const REPLY_ERROR = 0x8001;

export const STATE_HOLE = 1;
export const STATE_ZERO = 2;

export const EPERM = 1;
export const EIO = 5;
export const EINVAL = 22;
export const ENOSPC = 28;
export const ENOTSUP = 95;
